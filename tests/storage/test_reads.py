from __future__ import annotations

import json
from typing import Any

import pytest

from storage import reads
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.records import JobStatus
from storage.turn_records import NewAction
from tests.storage.client import (
    Client,
    claim,
    commit,
    delivered,
    message,
    new_id,
    rejection,
    turn,
)

SEND = NewAction(action_type="send_message", data='{"message": "hi"}', status="pending")


async def age(database: Database, seconds: float) -> None:
    """Make everything that is stored older."""
    shift = f"interval '{seconds} seconds'"
    for table, columns in {
        "messages": ("accepted_at", "processed_at"),
        "jobs": ("created_at", "next_delivery_at", "committed_at"),
        "conversations": (
            "last_accepted_at",
            "last_settled_at",
            "owner_until",
            "running_since",
        ),
    }.items():
        changes = ", ".join(f"{column} = {column} - {shift}" for column in columns)
        await database.fetch(f"update {table} set {changes}")  # noqa: S608 - named right above


async def test_a_job_is_shown_from_acceptance_to_delivery(
    client: Client, database: Database
) -> None:
    job_id = (await client.accept_one(message("c1"))).job_id
    job = await reads.find_job(database, job_id)
    assert job is not None
    assert (job.status, job.result, job.message_ids) == (JobStatus.QUEUED, None, ["m1"])
    assert job.started_at is None

    await client.claim(claim("c1"))
    await client.do(turn("c1", job_id, "m1"))
    job = await reads.find_job(database, job_id)
    assert job is not None
    assert job.status is JobStatus.PROCESSING
    assert job.started_at is not None

    await client.do(commit("c1", job_id, "m1", actions=[SEND], delivering=True))
    job = await reads.find_job(database, job_id)
    assert job is not None
    assert job.status is JobStatus.PROCESSING
    await client.do(delivered("c1", job_id, actions_executed=1))
    job = await reads.find_job(database, job_id)
    assert job is not None
    assert (job.status, job.conversation_id) == (JobStatus.COMPLETED, "c1")
    assert job.finished_at is not None
    assert json.loads(job.result or "") == {
        "ai_response": {"response_text": "the reply"},
        "extracted_actions": [],
        "pancake_result": {"status": "success", "actions_executed": 1},
    }


@pytest.mark.parametrize(
    ("result", "status"),
    [(DeliveryResult.RETRY, "pending"), (DeliveryResult.DEAD, "failed")],
)
async def test_a_result_says_what_became_of_the_delivery(
    client: Client, database: Database, result: DeliveryResult, status: str
) -> None:
    job_id = await client.committed_job("c1", "m1")
    await client.do(delivered("c1", job_id, result))
    job = await reads.find_job(database, job_id)
    assert job is not None
    assert json.loads(job.result or "")["pancake_result"]["status"] == status


async def test_unknown_jobs_are_none(database: Database) -> None:
    assert await reads.find_job(database, new_id()) is None
    assert await reads.find_job(database, "no uuid") is None
    assert await reads.stored_outcome(database, "no uuid") is None


async def test_a_superseded_job_leads_to_the_answer(client: Client, database: Database) -> None:
    job_id = await client.owned_job("c1", "m1", "m2")
    detail = await reads.conversation_detail(database, "c1")
    assert detail is not None
    (superseded,) = [job for job in detail.jobs if job.status is JobStatus.SUPERSEDED]
    assert superseded.superseded_by == job_id
    outcome = await reads.stored_outcome(database, superseded.job_id)
    assert outcome is not None
    assert outcome.job_id == job_id


async def test_a_host_reads_what_is_pending(client: Client, database: Database) -> None:
    await client.accept(*(message("c1", f"m{number}") for number in range(3)))
    await client.claim(claim("c1"))
    found = await reads.pending_messages(database, "c1", 2)
    assert found is not None
    assert (found[0], [each.message_id for each in found[1]]) == (1, ["m0", "m1"])
    assert await reads.pending_messages(database, "nowhere", 2) is None
    assert await reads.conversation_epoch(database, "c1") == 1
    assert await reads.conversation_epoch(database, "nowhere") is None


# --------------------------------------------------------------------------------------- sweep


async def test_the_sweeper_names_old_messages_one_for_a_conversation(
    client: Client, database: Database
) -> None:
    await client.accept(message("c1", "m1"), message("c1", "m2"), message("c2", "m1"))
    assert await reads.pending_pokes(database, 3.0, 10) == []
    await age(database, 4)
    pokes = await reads.pending_pokes(database, 3.0, 10)
    assert [(each.conversation_id, each.message_id) for each in pokes] == [
        ("c1", "m1"),
        ("c2", "m1"),
    ]
    assert [(each.epoch, each.owner) for each in pokes] == [(0, None), (0, None)]


async def test_the_sweeper_leaves_the_running_turn_of_a_live_owner_alone(
    client: Client, database: Database
) -> None:
    await client.owned_job("c1", "m1")
    await age(database, 4)
    assert await reads.pending_pokes(database, 3.0, 10) == []
    await client.accept_one(message("c1", "m2"))
    await age(database, 4)
    (poke,) = await reads.pending_pokes(database, 3.0, 10)
    assert (poke.message_id, poke.owner, poke.epoch) == ("m2", "host-1", 1)
    await age(database, 60)
    (poke,) = await reads.pending_pokes(database, 3.0, 10)
    assert (poke.message_id, poke.owner) == ("m1", None)


async def test_the_sweeper_does_not_wait_for_the_leases_of_the_dead(
    client: Client, database: Database
) -> None:
    await client.owned_job("c1", "m1")
    await client.committed_job("c2", "m1", delivering=True)
    await age(database, 4)
    assert await reads.pending_pokes(database, 3.0, 10, ["host-2"]) == []
    pokes = await reads.pending_pokes(database, 3.0, 10, ["host-2", "host-1"])
    assert [(each.conversation_id, each.message_id) for each in pokes] == [
        ("c1", "m1"),
        ("c2", None),
    ]


async def test_the_sweeper_comes_round_to_all_conversations_whatever_waits_before_them(
    client: Client, database: Database
) -> None:
    await client.accept(*(message("a hot one", f"m{number}") for number in range(300)))
    await client.accept(*(message(key, "m1") for key in ("b", "c", "d")))
    await client.owned_job("e", "m1")
    await age(database, 4)
    # The oldest 20 messages a poke are all of one conversation.
    assert {it.conversation_id for it in await reads.pending_pokes(database, 3.0, 1)} == {
        "a hot one"
    }
    pokes, after = await reads.next_pokes(database, 3.0, 3, "")
    assert [(it.conversation_id, it.message_id) for it in pokes] == [
        ("a hot one", "m0"),
        ("b", "m1"),
        ("c", "m1"),
    ]
    assert after == "c"
    pokes, after = await reads.next_pokes(database, 3.0, 3, after)
    assert [it.conversation_id for it in pokes] == ["d"], "the owner of the last is at work"
    assert after == ""
    pokes, _ = await reads.next_pokes(database, 3.0, 3, "d", ["host-1"])
    assert [it.conversation_id for it in pokes] == ["e"]


async def test_the_sweeper_names_due_deliveries_in_order(
    client: Client, database: Database
) -> None:
    first = await client.committed_job("c1", "m1", delivering=True)
    second = (await client.accept_one(message("c1", "m2"))).job_id
    await client.do(commit("c1", second, "m2", first_position=3))
    await age(database, 10)
    assert await reads.pending_pokes(database, 3.0, 10) == []  # the owner is alive
    await age(database, 60)
    (poke,) = await reads.pending_pokes(database, 3.0, 10)
    assert (poke.conversation_id, poke.message_id, poke.job_id) == ("c1", None, first)
    retry = delivered("c1", first, DeliveryResult.RETRY, retry_in_seconds=100.0)
    await client.do(retry)
    assert await reads.pending_pokes(database, 3.0, 10) == []


async def test_the_sweeper_names_a_delivery_that_was_never_tried(
    client: Client, database: Database
) -> None:
    job_id = await client.committed_job("c1", "m1")
    assert await reads.pending_pokes(database, 3.0, 10) == []
    await age(database, 4)
    (poke,) = await reads.pending_pokes(database, 3.0, 10)
    assert (poke.job_id, poke.owner) == (job_id, "host-1")


# --------------------------------------------------------------------------------------- lists


async def test_conversations_are_listed_newest_first_page_by_page(
    client: Client, database: Database
) -> None:
    for number in range(7):
        await client.accept_one(message(f"c{number}", "m1", timestamp=float(number)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await reads.list_conversations(database, limit=3, cursor=cursor)
        seen += [each.conversation_id for each in page.conversations]
        assert page.total_conversations == 7
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"c{number}" for number in range(6, -1, -1)]


async def test_the_list_can_be_of_one_status(client: Client, database: Database) -> None:
    await client.committed_job("c1", "m1", conversation_status="with_agent")
    await client.accept_one(message("c2"))
    page = await reads.list_conversations(database, limit=5, status="with_agent")
    (shown,) = page.conversations
    assert (shown.conversation_id, shown.status) == ("c1", "with_agent")
    assert (shown.context_size, shown.last_message_id, shown.waiting_messages) == (2, "m1", 0)
    assert (shown.owner, shown.ai_processing) == ("host-1", False)
    page = await reads.list_conversations(database, limit=5, status="active")
    assert [each.conversation_id for each in page.conversations] == ["c2"]


async def test_the_list_can_be_searched(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(["a%b", "shop-1", "SHOP-2", "other", "shop-3"]):
        await client.accept_one(message(name, "m1", timestamp=float(number)))

    async def found(search: str, **filters: Any) -> list[str]:
        seen: list[str] = []
        while True:
            page = await reads.list_conversations(database, limit=2, search=search, **filters)
            seen += [each.conversation_id for each in page.conversations]
            filters["cursor"] = page.next_cursor
            if page.next_cursor is None:
                return seen

    assert await found("shop") == ["shop-3", "SHOP-2", "shop-1"]
    assert await found("%") == ["a%b"]
    assert await found("shop", status="ended") == []
    assert await found("nowhere") == []
    # Only the latest are looked through, but a whole id is found wherever it is.
    monkeypatch.setattr(reads, "MOST_SEARCHED", 1)
    assert await found("shop") == ["shop-3"]
    assert await found("a%b") == ["a%b"]


async def test_the_list_can_be_of_those_that_wait(client: Client, database: Database) -> None:
    await client.do(delivered("done", await client.committed_job("done", "m1")))
    await client.committed_job("undelivered", "m1", actions=[SEND], delivering=True)
    await client.accept_one(message("new"))
    page = await reads.list_conversations(database, limit=5, waiting=True)
    assert [each.conversation_id for each in page.conversations] == ["new", "undelivered"]
    assert [each.undelivered_jobs for each in page.conversations] == [0, 1]
    page = await reads.list_conversations(database, limit=5, waiting=True, search="UN")
    assert [each.conversation_id for each in page.conversations] == ["undelivered"]
    page = await reads.list_conversations(database, limit=1, waiting=True)
    rest = await reads.list_conversations(database, limit=1, waiting=True, cursor=page.next_cursor)
    assert [each.conversation_id for each in rest.conversations] == ["undelivered"]
    assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "WzFd", "é", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwLCJ4Il0="])
async def test_a_made_up_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(reads.InvalidCursor):
        await reads.list_conversations(database, limit=5, cursor=cursor)


async def test_the_detail_of_a_conversation_says_why_it_waits(
    client: Client, database: Database
) -> None:
    job_id = await client.committed_job("c1", "m1", actions=[SEND], delivering=True)
    await client.do(delivered("c1", job_id, DeliveryResult.RETRY, retry_in_seconds=60.0))
    rejected = await client.accept_one(message("c1", "m2"))
    await client.do(rejection("c1", "m2", rejected.job_id))
    await client.accept_one(message("c1", "m3"))
    detail = await reads.conversation_detail(database, "c1")
    assert detail is not None
    shown = detail.conversation
    assert (shown.owner, shown.epoch, shown.lease_kind) == ("host-1", 1, "redis")
    assert 25 < shown.owner_seconds_left <= 30
    assert (shown.waiting_messages, shown.pending_messages) == (1, 1)
    assert detail.conversation.undelivered_jobs == 1
    assert detail.next_retry_at is not None
    assert [each.message_id for each in detail.messages] == ["m3", "m2", None, "m1"]
    assert detail.messages[1].position is None
    assert [each.status for each in detail.jobs] == [
        JobStatus.QUEUED,
        JobStatus.REJECTED,
        JobStatus.COMPLETED,
    ]
    (action,) = detail.actions
    assert (action.action_type, json.loads(action.data)) == ("send_message", {"message": "hi"})
    assert await reads.conversation_detail(database, "nowhere") is None


async def test_statistics_count_conversations(client: Client, database: Database) -> None:
    await client.accept_one(message("old"))
    await age(database, 25 * 3600)
    await client.accept_one(message("middle"))
    await age(database, 2 * 3600)
    await client.owned_job("c1", "m1")
    found = await reads.conversation_statistics(database)
    assert (found.total, found.recent, found.old, found.active_processing) == (3, 1, 1, 1)


async def test_stuck_conversations_are_found(client: Client, database: Database) -> None:
    await client.accept_one(message("waiting", bot_id="slow"))
    await client.owned_job("running", "m1")
    await database.fetch(
        "update conversations set owner_until = now() + interval '1 hour'"
        " where conversation_id = 'running'"
    )
    assert await reads.stuck_conversations(database, ai_timeout_seconds=30.0) == []
    await age(database, 31)
    (stuck,) = await reads.stuck_conversations(database, ai_timeout_seconds=30.0)
    assert (stuck.conversation_id, stuck.reason) == ("waiting", "no_owner")
    await age(database, 30)
    found = await reads.stuck_conversations(database, ai_timeout_seconds=30.0)
    assert [(each.conversation_id, each.reason) for each in found] == [
        ("waiting", "no_owner"),
        ("running", "turn_too_long"),
    ]
    assert found[1].stuck_seconds == pytest.approx(61, abs=5)
    patient = await reads.stuck_conversations(
        database, ai_timeout_seconds=30.0, ai_timeouts_by_bot={"default": 100.0}
    )
    assert [each.conversation_id for each in patient] == ["waiting"]


async def test_the_database_describes_itself(database: Database) -> None:
    found = await reads.postgres_statistics(database)
    assert found is not None
    assert found.database_bytes > 0
    assert (found.pool_max, found.deadlocks) == (10, 0)
    assert found.connections >= 1


async def test_the_queries_of_the_earlier_documents_work(
    client: Client, database: Database
) -> None:
    job_id = await client.committed_job("c1", "m1", actions=[SEND])
    assert job_id
    (row,) = await database.fetch(
        "SELECT conversation_id, last_message_timestamp, total_messages FROM conversations"
        " ORDER BY last_message_timestamp DESC LIMIT 10"
    )
    assert tuple(row) == ("c1", 1_700_000_000.5, 2)
    (row,) = await database.fetch(
        "SELECT action_type, COUNT(*), AVG(retry_count) FROM message_actions GROUP BY action_type"
    )
    assert tuple(row) == ("send_message", 1, 0)
