"""Attempts at a message are counted before they are made."""

from __future__ import annotations

from actors.conversation import Limits
from storage.admin import cancel_conversation, cancel_job
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.reads import find_job
from storage.records import FencedOutcome, JobStatus
from tests.storage.client import (
    Client,
    claim,
    commit,
    delivered,
    delivery_start,
    message,
    rejection,
    settlement,
    turn,
)

DONE = FencedOutcome.DONE


async def attempts(database: Database) -> int:
    (row,) = await database.fetch("select attempts from conversations where conversation_id = 'c1'")
    return int(row["attempts"])


async def test_claims_of_a_conversation_with_work_are_counted_until_turns_are(
    client: Client, database: Database
) -> None:
    (accepted,) = await client.accept(message("c1"))
    seen = [(await client.claim(claim("c1", epoch=epoch))).attempts for epoch in range(5)]
    assert seen == [1, 2, 3, 3, 3]
    assert Limits().isolated_attempts == 3
    start = turn("c1", accepted.job_id, "m1", epoch=5)
    assert await client.do(start) is DONE
    assert await attempts(database) == 3
    # Each turn that is tried alone says which attempt would come next; said twice, it is one.
    for _ in range(2):
        alone = turn("c1", accepted.job_id, "m1", epoch=5, attempts=4)
        assert await client.do(alone) is DONE
    assert (await client.claim(claim("c1", epoch=5))).attempts == 4


async def test_a_claim_that_is_repeated_counts_once(client: Client) -> None:
    await client.accept_one(message("c1"))
    request = claim("c1")
    assert [(await client.claim(request)).attempts for _ in range(3)] == [1, 1, 1]


async def test_a_claim_without_work_counts_nothing(client: Client, database: Database) -> None:
    job_id = await client.committed_job("c1", "m1")
    assert await attempts(database) == 0
    assert (await client.claim(claim("c1", epoch=1))).attempts == 0
    job = await find_job(database, job_id)
    assert job is not None


async def test_a_committed_turn_ends_the_count_and_keeps_its_own(
    client: Client, database: Database
) -> None:
    (accepted,) = await client.accept(message("c1"))
    for epoch in range(3):
        await client.claim(claim("c1", epoch=epoch))
    done = commit("c1", accepted.job_id, "m1", epoch=3, attempts=3, error=None)
    assert await client.do(done) is DONE
    assert await attempts(database) == 0
    (row,) = await database.fetch("select attempts from jobs")
    assert row["attempts"] == 3


async def test_what_is_ended_in_passing_does_not_end_the_count(
    client: Client, database: Database
) -> None:
    head, agent, rejected = await client.accept(
        message("c1", "m1"), message("c1", "m2", sender_type="agent"), message("c1", "m3")
    )
    await client.claim(claim("c1"))
    assert await client.do(settlement("c1", "m2", agent.job_id)) is DONE
    assert await client.do(rejection("c1", "m3", rejected.job_id)) is DONE
    assert await attempts(database) == 1
    silent = settlement("c1", "m1", head.job_id, reason="with_agent", position=2)
    assert await client.do(silent) is DONE
    assert await attempts(database) == 0


async def test_what_an_operator_cancels_ends_the_count(client: Client, database: Database) -> None:
    first, _ = await client.accept(message("c1", "m1"), message("c1", "m2"))
    await client.claim(claim("c1"))
    await cancel_job(database, first.job_id)
    assert await attempts(database) == 0
    await client.claim(claim("c1", epoch=1))
    await cancel_conversation(database, "c1")
    assert await attempts(database) == 0


async def test_a_turn_that_is_tried_alone_gives_the_others_their_jobs_back(
    client: Client, database: Database
) -> None:
    accepted = await client.accept(*(message("c1", f"m{number}") for number in (1, 2, 3)))
    jobs = [it.job_id for it in accepted]
    await client.claim(claim("c1"))
    both = turn("c1", jobs[0], "m1", "m2", superseded=[jobs[1]])
    assert await client.do(both) is DONE
    await client.claim(claim("c1", epoch=1))
    alone = turn("c1", jobs[0], "m1", epoch=2, attempts=4)
    assert await client.do(alone) is DONE
    found = [await find_job(database, job_id) for job_id in jobs]
    states = [(it.status, it.superseded_by, it.message_ids) for it in found if it is not None]
    assert states == [
        (JobStatus.PROCESSING, None, ["m1"]),
        (JobStatus.QUEUED, None, ["m2"]),
        (JobStatus.QUEUED, None, ["m3"]),
    ]
    claimed = await client.claim(claim("c1", epoch=2))
    assert [it.turn_job_id for it in claimed.messages] == [jobs[0], None, None]


async def test_a_delivery_that_is_tried_again_waits_longer_for_the_next_owner(
    client: Client,
) -> None:
    job_id = await client.committed_job("c1", "m1", delivering=True)
    waits = []
    for epoch in range(1, 5):
        claimed = await client.claim(claim("c1", epoch=epoch))
        (entry,) = claimed.outbox
        waits.append(entry.retry_in_seconds)
        assert entry.attempts == epoch
        assert await client.do(delivery_start("c1", job_id, epoch=epoch + 1)) is DONE
    assert waits[0] == 0
    assert [round(wait) for wait in waits[1:]] == [1, 2, 4]
    dead = delivered("c1", job_id, DeliveryResult.DEAD, epoch=5, error="given up")
    assert await client.do(dead) is DONE
