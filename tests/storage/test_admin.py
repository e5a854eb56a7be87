from __future__ import annotations

from storage.admin import (
    cancel_conversation,
    cancel_job,
    conversation_of_job,
    erase_conversation,
    resume_conversation,
)
from storage.cleanup import cleanup
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.reads import find_job
from storage.records import FencedOutcome, JobStatus
from storage.turn_records import NewAction
from tests.storage.client import (
    Client,
    claim,
    commit,
    delivered,
    delivery_start,
    message,
    new_id,
    turn,
)
from tests.storage.test_reads import age

SEND = NewAction(action_type="send_message", data="{}", status="pending")


async def pending(database: Database) -> list[str]:
    found = await database.fetch(
        "select message_id from messages where processed_at is null order by seq"
    )
    return [row["message_id"] for row in found]


async def test_a_waiting_job_can_be_cancelled(client: Client, database: Database) -> None:
    first, second = await client.accept(message("c1", "m1"), message("c1", "m2"))
    cancelled = await cancel_job(database, first.job_id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.has_changed) == (JobStatus.CANCELLED, True)
    assert cancelled.conversation_id == "c1"
    assert await pending(database) == ["m2"]
    again = await cancel_job(database, first.job_id)
    assert again is not None
    assert (again.status, again.has_changed) == (JobStatus.CANCELLED, False)
    duplicate = await client.accept_one(message("c1", "m1"))
    assert (duplicate.job_id, duplicate.job_status) == (first.job_id, JobStatus.CANCELLED)
    assert second.job_id != first.job_id


async def test_a_running_job_can_be_cancelled_with_all_its_messages(
    client: Client, database: Database
) -> None:
    job_id = await client.owned_job("c1", "m1", "m2")
    await client.accept_one(message("c1", "m3"))
    cancelled = await cancel_job(database, job_id)
    assert cancelled is not None
    assert cancelled.has_changed
    assert await pending(database) == ["m3"]
    assert await client.do(commit("c1", job_id, "m1", "m2")) is FencedOutcome.CANCELLED
    assert await client.do(turn("c1", job_id, "m1", "m2")) is FencedOutcome.CANCELLED
    job = await find_job(database, job_id)
    assert job is not None
    assert (job.status, job.reason, job.result) == (JobStatus.CANCELLED, "cancelled", None)


async def test_a_committed_job_can_be_cancelled_until_its_delivery_is_tried(
    client: Client, database: Database
) -> None:
    untried = await client.committed_job("c1", "m1", actions=[SEND])
    tried = await client.committed_job("c2", "m1", actions=[SEND], delivering=True)
    cancelled = await cancel_job(database, untried)
    assert cancelled is not None
    assert (cancelled.status, cancelled.has_changed) == (JobStatus.CANCELLED, True)
    (action,) = await database.fetch(
        "select status from message_actions where conversation_id = 'c1'"
    )
    assert action["status"] == "cancelled"
    assert await client.do(delivery_start("c1", untried)) is FencedOutcome.CANCELLED
    kept = await cancel_job(database, tried)
    assert kept is not None
    assert (kept.status, kept.has_changed) == (JobStatus.PROCESSING, False)


async def test_a_superseded_job_cannot_be_cancelled(client: Client, database: Database) -> None:
    await client.owned_job("c1", "m1", "m2")
    (row,) = await database.fetch("select id::text as id from jobs where status = 'superseded'")
    kept = await cancel_job(database, row["id"])
    assert kept is not None
    assert (kept.status, kept.has_changed) == (JobStatus.SUPERSEDED, False)
    assert await pending(database) == ["m1", "m2"]


async def test_unknown_jobs_and_conversations_are_none(database: Database) -> None:
    assert await cancel_job(database, new_id()) is None
    assert await cancel_job(database, "no uuid") is None
    assert await conversation_of_job(database, new_id()) is None
    assert await cancel_conversation(database, "nowhere") is None
    assert await resume_conversation(database, "nowhere") is None
    assert await erase_conversation(database, "nowhere") is None


async def test_cancelling_a_conversation_fences_its_owner(
    client: Client, database: Database
) -> None:
    job_id = await client.owned_job("c1", "m1")
    await client.accept_one(message("c1", "m2"))
    cancelled = await cancel_conversation(database, "c1")
    assert cancelled is not None
    assert (cancelled.cancelled_job_id, cancelled.epoch) == (job_id, 2)
    assert (cancelled.owner, cancelled.cluster) == ("host-1", "here")
    assert cancelled.lock_id
    assert await client.do(commit("c1", job_id, "m1")) is FencedOutcome.FENCED
    assert await pending(database) == ["m2"]
    assert await conversation_of_job(database, job_id) == "c1"
    idle = await cancel_conversation(database, "c1")
    assert idle is not None
    assert (idle.cancelled_job_id, idle.owner, idle.epoch) == (None, None, 3)


async def test_resuming_gives_the_conversation_back_and_cancels_nothing(
    client: Client, database: Database
) -> None:
    await client.committed_job("c1", "m1", conversation_status="with_agent")
    resumed = await resume_conversation(database, "c1")
    assert resumed is not None
    assert (resumed.epoch, resumed.cancelled_job_id) == (2, None)
    claimed = await client.claim(claim("c1", 2))
    assert claimed.status == "active"
    assert len(claimed.outbox) == 1


async def test_erasing_leaves_nothing(client: Client, database: Database) -> None:
    job_id = await client.owned_job("c1", "m1")
    await client.committed_job("c2", "m1", actions=[SEND])
    erased = await erase_conversation(database, "c1")
    assert erased is not None
    assert erased[0].cancelled_job_id == job_id
    assert (erased[1].conversations, erased[1].messages, erased[1].jobs) == (1, 1, 1)
    assert await client.do(commit("c1", job_id, "m1")) is FencedOutcome.FENCED
    erased = await erase_conversation(database, "c2")
    assert erased is not None
    assert (erased[1].messages, erased[1].actions) == (2, 1)
    for table in ("conversations", "messages", "jobs", "message_actions"):
        statement = f"select count(*) as rows from {table}"  # noqa: S608 - named right above
        (row,) = await database.fetch(statement)
        assert row["rows"] == 0
    again = await client.accept_one(message("c1", "m1"))
    assert again.epoch == 0


async def test_cleanup_drops_what_is_idle_and_nothing_else(
    client: Client, database: Database
) -> None:
    for key in ("done-1", "done-2"):
        job_id = await client.committed_job(key, "m1", actions=[SEND], delivering=True)
        await client.do(delivered(key, job_id))
    await client.committed_job("undelivered", "m1")
    await client.accept_one(message("unprocessed"))
    dead = await client.committed_job("dead", "m1", delivering=True)
    await client.do(delivered("dead", dead, DeliveryResult.DEAD))
    await age(database, 25 * 3600)
    await client.committed_job("young", "m1", delivery_body=None)

    would = await cleanup(database, 24.0, dry_run=True)
    gone: list[str] = []

    async def remember(conversation_ids: list[str]) -> None:
        gone.extend(conversation_ids)

    removed = await cleanup(database, 24.0, on_erased=remember)
    assert removed == would
    assert (removed.conversations, removed.messages, removed.jobs, removed.actions) == (3, 6, 3, 2)
    assert sorted(gone) == ["dead", "done-1", "done-2"]
    assert (await cleanup(database, 24.0)).conversations == 0
    left = await database.fetch("select conversation_id from conversations order by 1")
    assert [row["conversation_id"] for row in left] == ["undelivered", "unprocessed", "young"]


async def test_cleanup_goes_on_past_its_batch(client: Client, database: Database) -> None:
    await client.accept(*(message(f"c{number}") for number in range(450)))
    await database.fetch("update messages set processed_at = now()")
    await age(database, 3600)
    assert (await cleanup(database, 0.5, dry_run=True)).conversations == 450
    assert (await cleanup(database, 0.5)).conversations == 450
