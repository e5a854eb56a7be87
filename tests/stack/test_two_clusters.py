"""Two clusters over one Redis and one PostgreSQL: whoever takes a message in, its owner answers.

A word such as ``locked`` or a lock id of the other cluster can only have come from there: the
sweeper, which finds messages after some seconds, knows of nobody who waits, and the database keeps
no such words.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.stack.ask import (
    asked_ai,
    cancel_conversation,
    cancel_job,
    chat,
    enhanced,
    final_job,
    message,
    start_turn,
)
from tests.stack.bots import known_everywhere, put_bots
from tests.stack.clusters import (
    Clusters,
    answered_by,
    kill_cluster,
    new_ids,
    open_clusters,
)
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.cut_off import cut_off
from tests.stack.history import History
from tests.stack.inside import Inside, open_inside
from tests.stack.server import ADMIN_TOKEN, wait_for
from tests.stack.stubs import Stubs

pytestmark = pytest.mark.timeout(240)

MOST_CLAIMS = 3
"""Of one conversation while a cluster is without Redis, and again when it is back: it may go there,
come back, and go again, however many messages there are."""


@pytest.fixture(scope="module")
def clusters(stubs: Stubs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    with open_clusters(stubs, tmp_path_factory) as opened:
        yield opened


@pytest.fixture
async def a(clusters: Clusters) -> AsyncIterator[httpx.AsyncClient]:
    async with clusters.a.client(ADMIN_TOKEN) as client:
        yield client


@pytest.fixture
async def b(clusters: Clusters) -> AsyncIterator[httpx.AsyncClient]:
    async with clusters.b.client(ADMIN_TOKEN) as client:
        yield client


@pytest.fixture
async def inside(clusters: Clusters) -> AsyncIterator[Inside]:
    async with open_inside(clusters.postgres, clusters.redis) as opened:
        yield opened


@pytest.fixture
async def lease(b: httpx.AsyncClient, inside: Inside, conversation_id: str) -> dict[str, str]:
    """The lease of ``b``, which has answered the conversation's first message."""
    return await answered_by(b, inside, conversation_id, "b")


@pytest.fixture(scope="module")
def bots(clusters: Clusters, stubs: Stubs) -> None:
    async def put() -> None:
        last = f"last-{uuid.uuid4().hex}"
        wanted = {name: {"busy_policy": name} for name in ("restart", "reject")}
        async with clusters.a.client(ADMIN_TOKEN) as a, clusters.b.client(ADMIN_TOKEN) as b:
            await put_bots(a, stubs, wanted | {last: {}})
            await known_everywhere(b, stubs, last)

    asyncio.run(put())


async def check(
    clusters: Clusters,
    stubs: Stubs,
    bodies: list[dict[str, Any]],
    *,
    is_undisturbed: bool = True,
) -> None:
    ids = {body["conversation_id"] for body in bodies}
    history = await History.when_over(clusters.postgres.url, stubs, ids)
    accepted = {body["message_id"]: body for body in bodies}
    history.check(accepted, is_undisturbed=is_undisturbed)


async def test_a_message_accepted_in_one_cluster_is_answered_by_the_owner_in_the_other(
    clusters: Clusters,
    a: httpx.AsyncClient,
    lease: dict[str, str],
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    body = message(conversation_id, "asked in a")
    answer = await enhanced(a, body)

    assert answer["success"] is True
    assert answer["result"]["status"] == "completed"
    assert answer["result"]["ai_response"]["response_text"] == "answer to asked in a"
    assert answer["result"]["lock_id"] == lease["lock_id"]
    assert answer["result"]["storage_backend"] == "Redis"
    assert answer["result"]["distributed_lock_used"] is True
    assert await inside.lease(conversation_id) == lease
    assert (await inside.conversation(conversation_id))["epoch"] == 1, "it was taken over"
    await check(clusters, stubs, [body])


async def test_the_chat_endpoint_hears_from_the_owner_in_the_other_cluster(
    a: httpx.AsyncClient,
    lease: dict[str, str],
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    finish = stubs.hold(conversation_id)
    first = await chat(a, "<USER>one</USER><br>", conversation_id=conversation_id)
    await asked_ai(stubs, conversation_id, 2)
    second = await chat(a, "<USER>two</USER><br>", conversation_id=conversation_id)
    finish()
    await final_job(a, second["ai_job_id"])

    assert (first["status"], first["action"]) == ("ai_processing_started", "lock_acquired")
    assert (second["status"], second["action"]) == ("locked", "lock_exists")
    assert first["lock_id"] == second["lock_id"] == lease["lock_id"]
    assert (await inside.conversation(conversation_id))["epoch"] == 1


@pytest.mark.usefixtures("lease")
async def test_a_burst_that_alternates_between_the_clusters_is_one_burst(
    clusters: Clusters,
    a: httpx.AsyncClient,
    b: httpx.AsyncClient,
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    turn = await start_turn(a, stubs, conversation_id, "0")
    bodies = [message(conversation_id, str(number)) for number in range(1, 7)]
    words = [
        (await enhanced(client, body))["result"]
        for client, body in zip((b, a) * 3, bodies, strict=True)
    ]
    assert {word["status"] for word in words} == {"locked"}
    assert {word["queued"] for word in words} == {True}
    assert len({word["job_id"] for word in words}) == 1

    turn.finish()
    told = await turn.caller
    assert told["status"] == "restart_needed"
    assert told["newer_messages"] == [
        {"message_id": it["message_id"], "timestamp": it["timestamp"]} for it in bodies
    ]
    assert told["current_result"]["ai_response"]["response_text"] == "answer to 0"
    assert told["restart_job_id"] == words[0]["job_id"]
    job = await final_job(a, told["restart_job_id"])
    assert job["message_ids"] == [it["message_id"] for it in bodies]
    assert (await inside.conversation(conversation_id))["epoch"] == 1
    await check(clusters, stubs, [turn.body, *bodies])


@pytest.mark.usefixtures("bots")
async def test_a_restart_asked_for_in_one_cluster_is_told_to_the_caller_in_the_other(
    clusters: Clusters,
    a: httpx.AsyncClient,
    b: httpx.AsyncClient,
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    bot = {"metadata": {"bot_id": "restart"}}
    await answered_by(b, inside, conversation_id, "b", **bot)
    turn = await start_turn(a, stubs, conversation_id, "first", **bot)
    second = message(conversation_id, "second", **bot)
    locked = (await enhanced(b, second))["result"]
    told = await turn.caller
    turn.finish()
    job = await final_job(b, turn.job_id)

    assert (locked["status"], locked["job_id"]) == ("locked", turn.job_id)
    assert (told["status"], told["current_result"]) == ("restart_needed", None)
    assert told["restart_job_id"] == turn.job_id
    assert job["message_ids"] == [turn.body["message_id"], second["message_id"]]
    await check(clusters, stubs, [turn.body, second], is_undisturbed=False)


@pytest.mark.usefixtures("bots")
async def test_a_message_is_rejected_by_the_owner_in_the_other_cluster(
    a: httpx.AsyncClient,
    b: httpx.AsyncClient,
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    bot = {"metadata": {"bot_id": "reject"}}
    await answered_by(b, inside, conversation_id, "b", **bot)
    turn = await start_turn(b, stubs, conversation_id, "first", **bot)
    second = message(conversation_id, "second", **bot)
    locked = (await enhanced(a, second))["result"]
    turn.finish()
    told = await turn.caller
    again = (await enhanced(a, second))["result"]

    assert (locked["status"], locked["queued"], locked["job_id"]) == ("locked", False, None)
    assert [it["message_id"] for it in told["newer_messages"]] == [second["message_id"]]
    assert again["status"] == "completed"
    assert again["ai_response"]["response_text"] == "answer to second"


async def test_two_clusters_claim_one_conversation_at_the_same_moment_200_times(
    clusters: Clusters, a: httpx.AsyncClient, b: httpx.AsyncClient, inside: Inside, stubs: Stubs
) -> None:
    ids = new_ids("race", 200)
    bodies: list[dict[str, Any]] = []
    words: list[str] = []

    async def race(conversation_id: str) -> None:
        pair = [message(conversation_id, where) for where in ("a", "b")]
        bodies.extend(pair)
        answers = await asyncio.gather(enhanced(a, pair[0]), enhanced(b, pair[1]))
        words.extend(it["result"]["status"] for it in answers)

    for start in range(0, len(ids), 10):
        await asyncio.gather(*(race(it) for it in ids[start : start + 10]))
    await check(clusters, stubs, bodies)

    rows = await inside.rows(
        """select cluster, count(*) as conversations, max(epoch) as epoch from conversations
        where conversation_id = any($1::text[]) group by cluster""",
        ids,
    )
    print("words", {word: words.count(word) for word in set(words)}, "owners", rows)
    assert "processing" not in words
    assert sum(row["conversations"] for row in rows) == len(ids)
    assert max(row["epoch"] for row in rows) == 1, "one that was refused has claimed"


@pytest.mark.usefixtures("lease")
async def test_a_cancel_in_one_cluster_stops_the_turn_in_the_other(
    clusters: Clusters,
    a: httpx.AsyncClient,
    b: httpx.AsyncClient,
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    turn = await start_turn(b, stubs, conversation_id, "first")
    waiting = message(conversation_id, "waiting")
    locked = (await enhanced(b, waiting))["result"]
    cancelled = await cancel_conversation(a, conversation_id)

    assert cancelled == {
        "success": True,
        "conversation_id": conversation_id,
        "cancelled_job_id": turn.job_id,
        "lock_released": True,
    }
    # The AI was never let go: its call was given up, and the caller in b was told.
    told = await turn.caller
    assert (told["status"], told["reason"]) == ("failed", "cancelled")

    async def is_cut_off() -> bool:
        return stubs.ai_calls(conversation_id)[1].was_cut_off

    await wait_for(is_cut_off, what="the AI call is given up")
    turn.finish()
    job = await final_job(a, locked["job_id"])
    assert job["status"] == "completed"
    assert (await inside.conversation(conversation_id))["epoch"] <= 3


async def test_a_job_cancelled_in_one_cluster_is_stopped_in_the_other(
    a: httpx.AsyncClient,
    b: httpx.AsyncClient,
    lease: dict[str, str],
    inside: Inside,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    turn = await start_turn(b, stubs, conversation_id, "first")
    assert (await cancel_job(a, turn.job_id))["status"] == "cancelled"
    told = await turn.caller

    assert (told["status"], told["reason"]) == ("failed", "cancelled")
    assert await inside.lease(conversation_id) == lease
    turn.finish()


@pytest.mark.parametrize(
    "is_black_hole",
    [
        pytest.param(False, marks=pytest.mark.soak, id="refused"),
        pytest.param(True, id="black hole"),
    ],
)
async def test_a_cluster_that_is_cut_off_from_redis_fights_nobody(
    clusters: Clusters, inside: Inside, stubs: Stubs, is_black_hole: bool
) -> None:
    came_of_it = await cut_off(
        clusters, stubs, inside, 4 * LEASE_SECONDS, is_black_hole=is_black_hole
    )
    print(came_of_it)
    assert max(came_of_it.claims) <= MOST_CLAIMS
    assert max(came_of_it.later_claims) <= MOST_CLAIMS


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("is_black_hole", [False, True], ids=["refused", "black hole"])
async def test_a_cluster_that_is_cut_off_from_redis_for_a_minute_fights_nobody(
    clusters: Clusters, inside: Inside, stubs: Stubs, is_black_hole: bool
) -> None:
    came_of_it = await cut_off(clusters, stubs, inside, 60, is_black_hole=is_black_hole)
    print(came_of_it)
    assert max(came_of_it.claims) <= MOST_CLAIMS
    assert max(came_of_it.later_claims) <= MOST_CLAIMS


async def test_the_other_cluster_takes_over_when_one_is_killed(
    clusters: Clusters, a: httpx.AsyncClient, b: httpx.AsyncClient, inside: Inside, stubs: Stubs
) -> None:
    """The last test: nothing is left of ``b`` but its data."""
    ids = new_ids("orphan", 10)
    for conversation_id in ids:
        await answered_by(b, inside, conversation_id, "b")
    turns = [await start_turn(a, stubs, it, "cut short") for it in ids]
    for conversation_id in ids:
        stubs.hold(conversation_id)()  # who asks from now on is answered
    kill_cluster(clusters.b)
    told = await asyncio.gather(*(turn.caller for turn in turns))
    assert {it["status"] for it in told} == {"completed"}
    leases = [await inside.lease(it) for it in ids]
    assert {it["cluster"] for it in leases if it} == {"a"}
    rows = [await inside.conversation(it) for it in ids]
    assert {row["epoch"] for row in rows} == {2}, "taken over more than once"
    await check(clusters, stubs, [turn.body for turn in turns], is_undisturbed=False)
