from __future__ import annotations

import asyncio

import msgspec
import pytest

from storage.claim_records import ClaimOutcome
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.records import AcceptOutcome, FencedOutcome, JobStatus, LeaseKind
from storage.turn_records import NewAction
from tests.storage.client import (
    Client,
    claim,
    commit,
    delivered,
    delivery_start,
    message,
    rejection,
    renewal,
    settlement,
    turn,
)

DONE, FENCED = FencedOutcome.DONE, FencedOutcome.FENCED
CANCELLED, STALE = FencedOutcome.CANCELLED, FencedOutcome.STALE
REFUSED = FencedOutcome.REFUSED


async def rows(database: Database, sql: str, *arguments: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await database.fetch(sql, *arguments)]


# --------------------------------------------------------------------------------------- claim


async def test_a_claim_raises_the_epoch_and_brings_what_is_pending(client: Client) -> None:
    accepted = await client.accept(*(message("c1", f"m{number}") for number in range(3)))
    claimed = await client.claim(claim("c1", message_limit=2))
    assert (claimed.outcome, claimed.epoch, claimed.owner) == (ClaimOutcome.CLAIMED, 1, "host-1")
    assert [each.message_id for each in claimed.messages] == ["m0", "m1"]
    assert claimed.messages[0].job_id == accepted[0].job_id
    assert claimed.has_more
    assert (claimed.context, claimed.outbox, claimed.position) == ([], [], 0)
    assert claimed.last_activity_at == pytest.approx(accepted[0].accepted_at, abs=5)


async def test_one_of_many_concurrent_claims_wins(client: Client) -> None:
    await client.accept_one(message("c1"))
    claims = await asyncio.gather(
        *(client.claim(claim("c1", owner=f"host-{number}")) for number in range(10))
    )
    outcomes = [each.outcome for each in claims]
    assert outcomes.count(ClaimOutcome.CLAIMED) == 1
    assert outcomes.count(ClaimOutcome.STALE) == 9
    assert {each.epoch for each in claims} == {1}


async def test_a_claim_asked_again_by_its_owner_is_the_same_claim(client: Client) -> None:
    await client.accept_one(message("c1"))
    first = await client.claim(claim("c1"))
    again = await client.claim(claim("c1"))
    assert (again.outcome, again.epoch) == (ClaimOutcome.CLAIMED, 1)
    assert again.messages == first.messages
    other = await client.claim(claim("c1", owner="host-2"))
    assert (other.outcome, other.epoch) == (ClaimOutcome.STALE, 1)


async def test_an_unknown_conversation_is_missing(client: Client) -> None:
    assert (await client.claim(claim("nowhere"))).outcome is ClaimOutcome.MISSING


@pytest.mark.parametrize(
    ("held", "asked", "outcome"),
    [
        (LeaseKind.REDIS, LeaseKind.REDIS, ClaimOutcome.CLAIMED),
        (LeaseKind.DATABASE, LeaseKind.REDIS, ClaimOutcome.REFUSED),
        (LeaseKind.REDIS, LeaseKind.DATABASE, ClaimOutcome.REFUSED),
        (LeaseKind.DATABASE, LeaseKind.DATABASE, ClaimOutcome.REFUSED),
    ],
)
async def test_a_live_owner_refuses_where_no_lease_in_redis_guards_both(
    client: Client, held: LeaseKind, asked: LeaseKind, outcome: ClaimOutcome
) -> None:
    await client.accept_one(message("c1"))
    await client.claim(claim("c1", lease_kind=held))
    second = await client.claim(claim("c1", 1, owner="host-2", lease_kind=asked))
    assert second.outcome is outcome
    if outcome is ClaimOutcome.REFUSED:
        assert (second.owner, second.cluster, second.epoch) == ("host-1", "here", 1)
        assert 25 < second.retry_in_seconds <= 30
        own = await client.claim(claim("c1", 1, owner="host-1", lease_kind=asked))
        assert own.outcome is ClaimOutcome.CLAIMED


async def test_an_owner_that_is_over_refuses_nobody(client: Client, database: Database) -> None:
    await client.accept_one(message("c1"))
    await client.claim(claim("c1", lease_kind=LeaseKind.DATABASE))
    await database.fetch("update conversations set owner_until = now() - interval '1 ms'")
    second = await client.claim(claim("c1", 1, owner="host-2", lease_kind=LeaseKind.DATABASE))
    assert (second.outcome, second.epoch) == (ClaimOutcome.CLAIMED, 2)


async def test_a_turn_that_starts_keeps_those_without_redis_away(client: Client) -> None:
    (accepted,) = await client.accept(message("c1"))
    await client.claim(claim("c1", owner_ttl_seconds=0.0))
    start = turn("c1", accepted.job_id, "m1")
    await client.do(msgspec.structs.replace(start, owner_ttl_seconds=30.0))
    by_row = claim("c1", 1, "host-2", lease_kind=LeaseKind.DATABASE)
    assert (await client.claim(by_row)).outcome is ClaimOutcome.REFUSED


async def test_what_a_dead_owner_holds_by_the_database_is_claimed_by_its_successor(
    client: Client,
) -> None:
    await client.accept_one(message("c1", "m1"))
    held = LeaseKind.DATABASE
    await client.claim(claim("c1", owner="host-1", lease_kind=held))
    for take_over_from in (None, "host-3"):
        refused = await client.claim(
            claim("c1", 1, "host-2", lease_kind=held, take_over_from=take_over_from)
        )
        assert (refused.outcome, refused.owner) == (ClaimOutcome.REFUSED, "host-1")
    taken = await client.claim(claim("c1", 1, "host-2", lease_kind=held, take_over_from="host-1"))
    assert (taken.outcome, taken.epoch) == (ClaimOutcome.CLAIMED, 2)


async def test_a_claim_brings_the_context_unless_the_caller_has_it(client: Client) -> None:
    job_id = await client.owned_job("c1", "m1", "m2")
    await client.do(commit("c1", job_id, "m2", "m1"))
    claimed = await client.claim(claim("c1", 1))
    assert claimed.position == 3
    assert claimed.context is not None
    assert [(entry.role, entry.content) for entry in claimed.context] == [
        ("user", "content of m2"),
        ("user", "content of m1"),
        ("assistant", "the reply"),
    ]
    assert (await client.claim(claim("c1", 2, cached_position=3))).context is None
    short = await client.claim(claim("c1", 3, cached_position=2, context_limit=1))
    assert short.context is not None
    assert [entry.content for entry in short.context] == ["the reply"]


async def test_a_context_that_began_anew_holds_later_positions_only(client: Client) -> None:
    job_id = await client.owned_job("c1", "m1")
    await client.do(commit("c1", job_id, "m1", context_start=2, conversation_status="ended"))
    claimed = await client.claim(claim("c1", 1))
    assert (claimed.context, claimed.status, claimed.position) == ([], "ended", 2)


async def test_a_claim_brings_undelivered_answers_in_order_of_commit(client: Client) -> None:
    first = await client.committed_job(
        "c1", "m1", actions=[NewAction(action_type="send_message", data="{}", status="pending")]
    )
    second = (await client.accept_one(message("c1", "m2"))).job_id
    await client.do(commit("c1", second, "m2", first_position=3, delivering=True))
    claimed = await client.claim(claim("c1", 1))
    assert [(each.job_id, each.attempts) for each in claimed.outbox] == [(first, 0), (second, 1)]
    assert (claimed.outbox[0].body, claimed.outbox[0].message_ids) == ('{"the": "body"}', ["m1"])
    assert (claimed.outbox[0].action_count, claimed.outbox[1].action_count) == (1, 0)


# --------------------------------------------------------------------------------------- turns


async def test_a_started_turn_supersedes_the_other_jobs(client: Client, database: Database) -> None:
    job_id = await client.owned_job("c1", "m1", "m2", "m3")
    found = await rows(
        database,
        "select status, superseded_by::text, consolidated_messages from jobs where id <> $1::uuid",
        job_id,
    )
    assert found == [("superseded", job_id, 1)] * 2
    (job,) = await database.fetch("select * from jobs where id = $1::uuid", job_id)
    assert (job["status"], job["consolidated_messages"]) == ("processing", 3)
    assert job["message_ids"] == ["m1", "m2", "m3"]
    assert await rows(database, "select running_job_id::text from conversations") == [(job_id,)]
    claimed = await client.claim(claim("c1", 1))
    assert [each.turn_job_id for each in claimed.messages] == [job_id] * 3


async def test_starting_a_turn_again_with_more_messages_is_possible(client: Client) -> None:
    job_id = await client.owned_job("c1", "m1")
    more = (await client.accept_one(message("c1", "m2"))).job_id
    start = turn("c1", job_id, "m1", "m2", superseded=[more])
    assert await client.fenced(start, start) == [DONE, DONE]
    duplicate = await client.accept_one(message("c1", "m2"))
    assert duplicate.job_id == job_id


async def test_a_superseded_job_can_be_the_one_of_a_turn_again(
    client: Client, database: Database
) -> None:
    job_id = await client.owned_job("c1", "m1", "m2")
    (other,) = await database.fetch("select id::text as id from jobs where status = 'superseded'")
    assert await client.do(turn("c1", other["id"], "m2", "m1", superseded=[job_id])) is DONE
    found = await rows(
        database, "select id::text, status, superseded_by::text from jobs order by status"
    )
    assert found == [(other["id"], "processing", None), (job_id, "superseded", other["id"])]


async def test_a_commit_writes_the_whole_turn(client: Client, database: Database) -> None:
    actions = [
        NewAction(action_type="send_message", data='{"message": "hi"}', status="pending"),
        NewAction(action_type="dance", data="{}", status="rejected", error="unknown type"),
    ]
    job_id = await client.owned_job("c1", "m1", "m2")
    outcome = await client.do(
        commit(
            "c1",
            job_id,
            "m1",
            "m2",
            actions=actions,
            intent="greet",
            confidence=0.5,
            model_used="gpt",
            ai_processing_time_ms=12.5,
            conversation_status="with_agent",
        )
    )
    assert outcome is DONE
    assert await rows(
        database,
        "select message_id, sender_type, position, content from messages order by position",
    ) == [
        ("m1", "user", 1, "content of m1"),
        ("m2", "user", 2, "content of m2"),
        (None, "bot", 3, "the reply"),
    ]
    assert await rows(database, "select count(*) from messages where processed_at is null") == [
        (0,)
    ]
    (job,) = await database.fetch("select * from jobs where id = $1::uuid", job_id)
    assert (job["status"], job["outcome_status"]) == ("processing", "completed")
    assert (job["intent"], job["confidence"], job["model_used"]) == ("greet", 0.5, "gpt")
    assert job["queue_time_ms"] >= 0
    assert (job["delivery_status"], job["delivery_attempts"]) == ("pending", 0)
    assert await rows(
        database, "select action_type, status, error from message_actions order by ordinal"
    ) == [("send_message", "pending", None), ("dance", "rejected", "unknown type")]
    (conversation,) = await database.fetch("select * from conversations")
    assert (conversation["total_messages"], conversation["last_position"]) == (3, 3)
    assert (conversation["status"], conversation["running_job_id"]) == ("with_agent", None)
    assert conversation["last_message_id"] == "m2"


@pytest.mark.parametrize("is_started", [False, True])
async def test_a_turn_whose_start_was_not_written_began_when_its_commit_says(
    client: Client, database: Database, is_started: bool
) -> None:
    job_id = (await client.accept_one(message("c1", "m1"))).job_id
    await client.claim(claim("c1"))
    await database.fetch("update jobs set created_at = created_at - interval '10 seconds'")
    if is_started:
        assert await client.do(turn("c1", job_id, "m1")) is DONE
    before = await database.fetch_one("select started_at from jobs")
    assert await client.do(commit("c1", job_id, "m1", began_seconds_ago=2.0)) is DONE
    (job,) = await database.fetch(
        """select started_at, queue_time_ms,
        extract(epoch from committed_at - started_at)::double precision as turn_seconds from jobs"""
    )
    if is_started:
        assert before is not None
        assert job["started_at"] == before["started_at"]
        assert job["queue_time_ms"] >= 10_000
    else:
        assert job["turn_seconds"] == pytest.approx(2.0, abs=0.1)
        assert 8_000 <= job["queue_time_ms"] < 10_000


async def test_a_turn_began_after_its_message_came(client: Client, database: Database) -> None:
    job_id = (await client.accept_one(message("c1", "m1"))).job_id
    await client.claim(claim("c1"))
    assert await client.do(commit("c1", job_id, "m1", began_seconds_ago=3_600.0)) is DONE
    (job,) = await database.fetch("select started_at = created_at as is_same from jobs")
    assert job["is_same"]


async def test_a_commit_is_done_once_however_often_it_is_asked_for(
    client: Client, database: Database
) -> None:
    job_id = await client.owned_job("c1", "m1")
    the_commit = commit("c1", job_id, "m1")
    assert await client.fenced(the_commit, the_commit) == [DONE, DONE]
    await client.claim(claim("c1", 1, owner="host-2"))
    assert await client.do(the_commit) is DONE
    assert await rows(database, "select total_messages from conversations") == [(2,)]


async def test_nothing_of_a_former_owner_is_written_and_its_neighbours_go_through(
    client: Client, database: Database
) -> None:
    jobs = {key: await client.owned_job(key, "m1") for key in ("c1", "c2", "c3")}
    await client.claim(claim("c2", 1, owner="host-2"))
    outcomes = await client.fenced(*(commit(key, job, "m1") for key, job in jobs.items()))
    assert outcomes == [DONE, FENCED, DONE]
    assert await client.do(turn("c2", jobs["c2"], "m1")) is FENCED
    assert await client.do(settlement("c2", "m1", jobs["c2"])) is FENCED
    assert await client.do(renewal("c2")) is FENCED
    found = await rows(database, "select processed_at from messages where conversation_id = 'c2'")
    assert found == [(None,)]


async def test_a_turn_on_processed_messages_is_stale(client: Client, database: Database) -> None:
    job_id = await client.owned_job("c1", "m1")
    later = (await client.accept_one(message("c1", "m2"))).job_id
    await client.do(commit("c1", job_id, "m1"))
    assert await client.do(turn("c1", later, "m1", "m2")) is STALE
    assert await client.do(commit("c1", later, "m1", "m2", first_position=3)) is STALE
    assert await rows(database, "select status from jobs where id = $1::uuid", later) == [
        ("queued",)
    ]


async def test_a_job_that_was_committed_by_another_epoch_is_cancelled_to_this_one(
    client: Client,
) -> None:
    job_id = await client.committed_job("c1", "m1")
    await client.claim(claim("c1", 1))
    assert await client.do(commit("c1", job_id, "m1", epoch=2)) is CANCELLED
    assert await client.do(turn("c1", job_id, "m1", epoch=2)) is CANCELLED


async def test_a_commit_with_nothing_to_deliver_is_final_at_once(
    client: Client, database: Database
) -> None:
    await client.committed_job(
        "c1", "m1", status=JobStatus.FAILED, reason="ai_timeout", reply=None, delivery_body=None
    )
    (job,) = await database.fetch("select * from jobs")
    assert (job["status"], job["reason"], job["delivery_status"]) == ("failed", "ai_timeout", None)
    assert job["finished_at"] is not None
    assert job["dead_letter_at"] is not None


async def test_a_turn_that_an_agent_ended_is_final_and_sends_nothing(
    client: Client, database: Database
) -> None:
    await client.committed_job(
        "c1",
        "m1",
        status=JobStatus.CANCELLED,
        reason="agent_replied",
        reply=None,
        actions=[NewAction(action_type="send_message", data="{}", status="pending")],
    )
    (job,) = await database.fetch("select * from jobs")
    assert (job["status"], job["reason"], job["delivery_status"]) == (
        "cancelled",
        "agent_replied",
        None,
    )
    assert await rows(database, "select count(*) from message_actions") == [(0,)]


async def test_a_bad_commit_is_refused_alone(client: Client, database: Database) -> None:
    jobs = [await client.owned_job(f"c{number}", "m1") for number in range(7)]
    commits = [
        commit(f"c{number}", job, "m1", reply="nul \x00" if number == 3 else "fine")
        for number, job in enumerate(jobs)
    ]
    outcomes = await client.fenced(*commits)
    assert outcomes == [DONE] * 3 + [REFUSED] + [DONE] * 3
    found = await rows(database, "select conversation_id from messages where processed_at is null")
    assert found == [("c3",)]


# --------------------------------------------------------------------------------- settlements


async def test_recorded_and_rejected_messages_end_without_a_turn(
    client: Client, database: Database
) -> None:
    accepted = await client.accept(*(message("c1", each) for each in ("m1", "m2", "m3")))
    await client.claim(claim("c1"))
    settlements = [
        settlement("c1", "m1", accepted[0].job_id, position=1),
        rejection("c1", "m2", accepted[1].job_id),
        settlement("c1", "m3", accepted[2].job_id, position=2, reason="with_agent"),
    ]
    for _ in range(2):
        assert await client.fenced(*settlements) == [DONE, DONE, DONE]
    assert await rows(database, "select status, reason from jobs order by message_ids") == [
        ("completed", "not_from_user"),
        ("rejected", "processing_in_progress"),
        ("completed", "with_agent"),
    ]
    assert await rows(database, "select message_id, position from messages order by seq") == [
        ("m1", 1),
        ("m2", None),
        ("m3", 2),
    ]
    assert await rows(database, "select last_position from conversations") == [(2,)]


async def test_a_message_that_a_turn_took_cannot_be_settled(client: Client) -> None:
    job_id = await client.committed_job("c1", "m1")
    assert await client.do(settlement("c1", "m1", job_id)) is STALE
    assert await client.do(settlement("c1", "unknown", job_id)) is STALE


# ---------------------------------------------------------------------------------- deliveries


async def test_the_first_record_makes_the_job_final(client: Client, database: Database) -> None:
    job_id = await client.committed_job(
        "c1",
        "m1",
        delivering=True,
        actions=[NewAction(action_type="send_message", data="{}", status="pending")],
    )
    retry = delivered("c1", job_id, DeliveryResult.RETRY, retry_in_seconds=60.0, error="500")
    assert await client.do(retry) is DONE
    (job,) = await database.fetch("select * from jobs")
    assert (job["status"], job["delivery_status"], job["delivery_error"]) == (
        "completed",
        "pending",
        "500",
    )
    assert await client.do(delivery_start("c1", job_id)) is DONE
    for _ in range(2):
        assert await client.do(delivered("c1", job_id, actions_executed=1)) is DONE
    (job,) = await database.fetch("select * from jobs")
    assert (job["delivery_status"], job["delivery_body"], job["delivery_attempts"]) == (
        "sent",
        None,
        2,
    )
    assert job["actions_executed"] == 1
    assert await rows(database, "select status, retry_count from message_actions") == [("sent", 1)]
    assert await client.do(delivery_start("c1", job_id)) is CANCELLED


async def test_a_dead_delivery_keeps_its_body(client: Client, database: Database) -> None:
    job_id = await client.committed_job(
        "c1",
        "m1",
        delivering=True,
        actions=[NewAction(action_type="send_message", data="{}", status="pending")],
    )
    dead = delivered("c1", job_id, DeliveryResult.DEAD, error="400")
    assert await client.fenced(dead, dead) == [DONE, DONE]
    (job,) = await database.fetch("select * from jobs")
    assert (job["status"], job["delivery_status"]) == ("completed", "dead")
    assert job["delivery_body"] == '{"the": "body"}'
    assert job["dead_letter_at"] is not None
    assert await rows(database, "select status, error from message_actions") == [("failed", "400")]
    assert (await client.claim(claim("c1", 1))).outbox == []


async def test_what_was_sent_is_recorded_whoever_the_owner_is(client: Client) -> None:
    job_id = await client.committed_job("c1", "m1", delivering=True)
    await client.claim(claim("c1", 1, owner="host-2"))
    assert await client.do(delivery_start("c1", job_id)) is FENCED
    assert await client.do(delivered("c1", job_id, DeliveryResult.RETRY)) is FENCED
    assert await client.do(delivered("c1", job_id)) is DONE
    late = delivered("c1", job_id, DeliveryResult.RETRY, epoch=2)
    assert await client.do(late) is CANCELLED


# ------------------------------------------------------------------------------------- renewal


async def test_an_owner_renews_and_gives_up(client: Client, database: Database) -> None:
    await client.accept_one(message("c1"))
    await client.claim(claim("c1", owner_ttl_seconds=1.0))
    assert await client.do(renewal("c1", owner_ttl_seconds=100.0)) is DONE
    assert await client.do(renewal("c1", owner="host-2")) is FENCED
    (left,) = await rows(
        database, "select extract(epoch from owner_until - now())::float8 from conversations"
    )
    assert left[0] == pytest.approx(100, abs=5)
    for _ in range(2):
        assert await client.do(renewal("c1", owner_ttl_seconds=0.0)) is DONE
    assert await rows(database, "select owner, owner_until from conversations") == [(None, None)]


async def test_all_kinds_at_once_in_one_batch(client: Client) -> None:
    job_id = await client.committed_job("c1", "m1", delivering=True)
    await client.accept_one(message("c2"))
    results = await client.execute(
        delivered("c1", job_id),
        message("c3"),
        claim("c2"),
        renewal("c1"),
    )
    kinds = [getattr(result, "outcome", result) for result in results]
    assert kinds == [DONE, AcceptOutcome.ACCEPTED, ClaimOutcome.CLAIMED, DONE]
