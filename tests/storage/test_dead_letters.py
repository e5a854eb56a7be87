from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage.admin import cancel_job, erase_conversation
from storage.cleanup import cleanup
from storage.cursors import InvalidCursor
from storage.dead_letters import (
    MOST_UNDELIVERED,
    DeadLetter,
    list_dead_letters,
    retry_all_dead_letters,
    retry_dead_letter,
)
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.reads import find_job
from storage.records import AcceptOutcome, FencedOutcome, JobStatus
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
FAILED: dict[str, Any] = {
    "status": JobStatus.FAILED,
    "reason": "ai_error",
    "reply": None,
    "ai_response": None,
    "delivery_body": None,
    "attempts": 3,
    "error": "status 500",
}


async def failed_job(client: Client, conversation_id: str, *message_ids: str, **fields: Any) -> str:
    """A turn that failed for good."""
    return await client.committed_job(conversation_id, *message_ids, **FAILED | fields)


async def dead_delivery(client: Client, conversation_id: str, message_id: str = "m1") -> str:
    """An answer that the platform never took."""
    job_id = await client.committed_job(
        conversation_id, message_id, actions=[SEND], delivering=True
    )
    dead = delivered(conversation_id, job_id, DeliveryResult.DEAD, error="status 400")
    assert await client.do(dead) is FencedOutcome.DONE
    return job_id


async def letters(database: Database, **fields: Any) -> list[DeadLetter]:
    return (await list_dead_letters(database, limit=500, **fields)).dead_letters


async def retry_all(database: Database, kind: str | None = None) -> list[str]:
    return [it.id async for batch in retry_all_dead_letters(database, kind) for it in batch]


async def test_failed_turns_and_dead_deliveries_are_listed_the_last_first(
    client: Client, database: Database
) -> None:
    job_id = await failed_job(client, "c1", "m1", "m2")
    other = await dead_delivery(client, "c2")
    delivery, failure = await letters(database)
    assert (failure.id, failure.kind, failure.conversation_id) == (job_id, "message", "c1")
    assert failure.message_ids == ["m1", "m2"]
    assert (failure.reason, failure.error, failure.attempts) == ("ai_error", "status 500", 3)
    assert failure.created_at < failure.dead_letter_at < delivery.dead_letter_at
    assert (delivery.id, delivery.kind, delivery.message_ids) == (other, "delivery", ["m1"])
    assert (delivery.reason, delivery.error, delivery.attempts) == (None, "status 400", 1)


async def test_pages_show_each_dead_letter_once(client: Client, database: Database) -> None:
    for number in range(3):
        await failed_job(client, f"c{number}", "m1")
        await dead_delivery(client, f"d{number}")
    every = [letter.id for letter in await letters(database)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        page = await list_dead_letters(database, limit=2, cursor=cursor)
        assert page.total_dead_letters == 6
        found += [letter.id for letter in page.dead_letters]
        cursor = page.next_cursor
    assert cursor is None
    assert found == every
    assert len(set(found)) == 6
    assert {it.kind for it in await letters(database, kind="message")} == {"message"}
    assert len(await letters(database, kind="delivery")) == 3
    for bad in ("x", "WzEsICJ4Il0=", "\0"):
        with pytest.raises(InvalidCursor):
            await list_dead_letters(database, limit=2, cursor=bad)


async def test_a_retried_message_is_pending_under_a_new_job_and_comes_last(
    client: Client, database: Database
) -> None:
    job_id = await failed_job(client, "c1", "m1")
    (later,) = await client.accept(message("c1", "m2"))
    retried = await retry_dead_letter(database, job_id)
    assert retried is not None
    assert (retried.id, retried.kind, retried.conversation_id) == (job_id, "message", "c1")
    assert retried.job_id != job_id
    assert await letters(database) == []
    old, new = await find_job(database, job_id), await find_job(database, retried.job_id)
    assert old is not None
    assert new is not None
    assert (old.status, old.reason) == (JobStatus.FAILED, "ai_error")
    assert (new.status, new.message_ids) == (JobStatus.QUEUED, ["m1"])
    claimed = await client.claim(claim("c1", epoch=1))
    assert [it.message_id for it in claimed.messages] == ["m2", "m1"]
    again = claimed.messages[1]
    assert (again.job_id, again.turn_job_id) == (retried.job_id, retried.job_id)
    assert again.accepted_at >= claimed.messages[0].accepted_at
    duplicate = await client.accept_one(message("c1", "m1"))
    assert duplicate.outcome is AcceptOutcome.DUPLICATE
    assert (duplicate.job_id, duplicate.job_status) == (retried.job_id, JobStatus.QUEUED)
    # It is answered as any other.
    assert later.job_id != retried.job_id
    start = turn("c1", retried.job_id, "m1", epoch=2)
    done = commit("c1", retried.job_id, "m1", epoch=2, first_position=9)
    assert [await client.do(start), await client.do(done)] == [FencedOutcome.DONE] * 2


async def test_all_messages_of_a_retried_turn_are_one_turn_again(
    client: Client, database: Database
) -> None:
    job_id = await failed_job(client, "c1", "m2", "m1", "m3")
    retried = await retry_dead_letter(database, job_id)
    assert retried is not None
    claimed = await client.claim(claim("c1", epoch=1))
    assert [it.message_id for it in claimed.messages] == ["m2", "m1", "m3"]
    assert {it.turn_job_id for it in claimed.messages} == {retried.job_id}
    jobs = [await find_job(database, it.job_id) for it in claimed.messages]
    first, *others = [it for it in jobs if it is not None]
    assert (first.job_id, first.message_ids) == (retried.job_id, ["m2", "m1", "m3"])
    assert first.consolidated_messages == 3
    assert {(it.status, it.superseded_by) for it in others} == {
        (JobStatus.SUPERSEDED, retried.job_id)
    }


async def test_the_place_of_a_retried_message_in_the_context_is_void_everywhere(
    client: Client, database: Database
) -> None:
    await client.committed_job("c1", "m0", first_position=1)
    (accepted,) = await client.accept(message("c1", "m1"))
    start = turn("c1", accepted.job_id, "m1")
    failure = commit("c1", accepted.job_id, "m1", **FAILED | {"first_position": 3})
    assert [await client.do(start), await client.do(failure)] == [FencedOutcome.DONE] * 2
    await retry_dead_letter(database, accepted.job_id)
    # Whoever has a copy of the context, up to position 3, is given the one that holds.
    claimed = await client.claim(claim("c1", epoch=1, cached_position=3))
    assert claimed.context is not None
    assert [it.content for it in claimed.context] == ["content of m0", "the reply"]


async def test_a_retried_delivery_keeps_key_and_body_and_comes_last(
    client: Client, database: Database
) -> None:
    job_id = await dead_delivery(client, "c1")
    (accepted,) = await client.accept(message("c1", "m2"))
    await client.do(turn("c1", accepted.job_id, "m2"))
    await client.do(commit("c1", accepted.job_id, "m2", first_position=3))
    retried = await retry_dead_letter(database, job_id)
    assert retried is not None
    assert (retried.kind, retried.job_id) == ("delivery", job_id)
    assert await letters(database) == []
    claimed = await client.claim(claim("c1", epoch=1))
    assert [it.job_id for it in claimed.outbox] == [accepted.job_id, job_id]
    assert (claimed.outbox[1].body, claimed.outbox[1].attempts) == ('{"the": "body"}', 0)
    assert claimed.outbox[1].action_count == 1
    # Its job is final already, and cannot be cancelled.
    cancelled = await cancel_job(database, job_id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.has_changed) == (JobStatus.COMPLETED, False)
    assert await client.do(delivery_start("c1", job_id, epoch=2)) is FencedOutcome.DONE
    assert await client.do(delivered("c1", job_id, epoch=2)) is FencedOutcome.DONE
    (action,) = await database.fetch("select status, error from message_actions")
    assert (action["status"], action["error"]) == ("sent", None)


async def test_a_fallback_that_was_given_up_is_no_dead_letter_of_its_own(
    client: Client, database: Database
) -> None:
    fields = {"delivery_body": "{}", "reply": "sorry", "delivering": True}
    job_id = await failed_job(client, "c1", "m1", **fields)
    retried = await retry_dead_letter(database, job_id)
    assert retried is not None
    dead = delivered("c1", job_id, DeliveryResult.DEAD, error="status 400")
    assert await client.do(dead) is FencedOutcome.DONE
    assert await letters(database) == []


async def test_a_fallback_keeps_its_own_delivery_when_its_message_is_retried(
    client: Client, database: Database
) -> None:
    fields = {"delivery_body": "{}", "reply": "sorry", "delivering": True}
    job_id = await failed_job(client, "c1", "m1", **fields)
    await client.do(delivered("c1", job_id, DeliveryResult.RETRY))
    assert len(await letters(database)) == 1
    await retry_dead_letter(database, job_id)
    claimed = await client.claim(claim("c1", epoch=1))
    assert [it.job_id for it in claimed.outbox] == [job_id]
    await client.do(delivered("c1", job_id, epoch=2))
    assert await letters(database) == []


async def test_of_concurrent_retries_one_wins(client: Client, database: Database) -> None:
    for job_id in (await failed_job(client, "c1", "m1"), await dead_delivery(client, "c2")):
        results = await asyncio.gather(*(retry_dead_letter(database, job_id) for _ in range(8)))
        assert len([it for it in results if it is not None]) == 1
    (row,) = await database.fetch("select count(*) as jobs from jobs where conversation_id = 'c1'")
    assert row["jobs"] == 2


async def test_what_is_no_dead_letter_is_not_retried(client: Client, database: Database) -> None:
    fine = await client.committed_job("c1", "m1")
    for letter_id in (fine, new_id(), "x", ""):
        assert await retry_dead_letter(database, letter_id) is None
    erased = await failed_job(client, "c2", "m1")
    await erase_conversation(database, "c2")
    assert await retry_dead_letter(database, erased) is None


async def test_all_are_retried_and_those_given_up_later_are_left_alone(
    client: Client, database: Database
) -> None:
    for number in range(130):
        await failed_job(client, f"c{number}", "m1")
    deliveries = [await dead_delivery(client, f"d{number}") for number in range(3)]
    seen: list[str] = []
    async for batch in retry_all_dead_letters(database):
        seen += [it.id for it in batch]
        if len(seen) == len(batch):
            late = await failed_job(client, "late", "m1")
    assert len(set(seen)) == len(seen) == 133
    assert set(deliveries) <= set(seen)
    assert [it.id for it in await letters(database)] == [late]


async def test_one_kind_can_be_retried_alone(client: Client, database: Database) -> None:
    job_id = await failed_job(client, "c1", "m1")
    delivery = await dead_delivery(client, "c2")
    assert await retry_all(database, "delivery") == [delivery]
    assert await retry_all(database, "message") == [job_id]
    assert await retry_all(database) == []


async def test_retrying_all_does_not_overfill_an_outbox(client: Client, database: Database) -> None:
    await dead_delivery(client, "c1", "m0")
    for number in range(1, MOST_UNDELIVERED + 3):
        message_id = f"m{number}"
        (accepted,) = await client.accept(message("c1", message_id))
        fields = {"first_position": 2 * number + 1, "delivering": True}
        await client.do(commit("c1", accepted.job_id, message_id, **fields))
        await client.do(delivered("c1", accepted.job_id, DeliveryResult.DEAD))
    assert len(await retry_all(database)) == MOST_UNDELIVERED
    assert len(await letters(database)) == 3
    assert await retry_all(database) == []


async def test_conversations_with_dead_letters_are_cleaned_up(
    client: Client, database: Database
) -> None:
    await failed_job(client, "c1", "m1")
    await dead_delivery(client, "c2")
    retried = await failed_job(client, "c3", "m1")
    await age(database, 48 * 3600.0)
    assert await retry_dead_letter(database, retried) is not None
    removed = await cleanup(database, 24)
    assert removed.conversations == 2
    assert await letters(database) == []
