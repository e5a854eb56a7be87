"""Processes of the product are stopped or killed at the very point where it hurts."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.fault_points.control import FaultPoints
from tests.stack.history import History
from tests.stack.processes import busiest_host
from tests.stack.second_ingress import SecondIngress
from tests.stack.server import Server
from tests.stack.sleepers import stopped_at, woken_before_its_commit
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(180)

NAP_SECONDS = LEASE_SECONDS / 6
FEW = 10


@pytest.fixture(scope="module")
def own_settings(all_points: FaultPoints) -> dict[str, str]:
    return all_points.environment


async def is_committed(postgres: PostgresServer, stubs: Stubs, conversation_id: str) -> bool:
    history = await History.read(postgres.url, stubs, [conversation_id])
    return bool(history.stories[conversation_id].turns)


async def test_a_host_stopped_between_lease_check_and_commit_commits_nothing_when_it_wakes(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    finish, sending = await woken_before_its_commit(traffic, stubs, points, conversation_id)
    assert not await is_committed(postgres, stubs, conversation_id)
    finish()
    assert (await sending)["status"] == "completed"
    await traffic.send(message(conversation_id, "good morning"))

    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=False)


async def test_a_host_stopped_for_less_than_the_lease_goes_on_where_it_was(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "nap")
    sending = await in_the_middle(traffic, stubs, ids)
    sleeper = busiest_host(victim, stubs.url)
    stopped_at = time.monotonic()
    sleeper.suspend()
    await asyncio.sleep(NAP_SECONDS)
    sleeper.resume()
    slept = time.monotonic() - stopped_at
    await sending

    history = await History.when_over(postgres.url, stubs, ids)
    # On a machine so slow that it overslept, its turns may have been taken over.
    is_nap = slept < 2 * NAP_SECONDS
    history.check(traffic.bodies, is_undisturbed=is_nap, requests=traffic.requests)
    assert not traffic.refusals


@pytest.mark.parametrize("point", ["turn.before_commit", "turn.after_commit"])
async def test_a_host_killed_around_its_commit_leaves_one_answer(
    point: str,
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    armed = points.arm(point, signal.SIGKILL, conversation_id)
    sending = asyncio.create_task(traffic.send(message(conversation_id)))
    await armed.hit()
    was_committed = await is_committed(postgres, stubs, conversation_id)
    assert (await sending)["status"] == "completed"
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=False)
    assert was_committed is (point == "turn.after_commit")
    # What was committed is not asked again.
    assert (len(stubs.ai_calls(conversation_id)) == 1) is was_committed


async def test_a_host_killed_before_it_notes_a_delivery_leaves_it_to_be_repeated_under_its_key(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    armed = points.arm("delivery.after_send", signal.SIGKILL, conversation_id)
    sending = asyncio.create_task(traffic.send(message(conversation_id)))
    await armed.hit()
    assert (await sending)["status"] == "completed"
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=False)
    assert len(stubs.delivered(conversation_id)) == 2


async def test_a_host_that_wakes_before_its_look_at_the_lease_sends_nothing(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    sleeper, sending = await stopped_at("delivery.before_check", traffic, points, conversation_id)
    assert (await sending)["status"] == "completed"  # by its successor
    sleeper.resume()
    await traffic.send(message(conversation_id, "good morning"))
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=False)
    assert len(stubs.delivered(conversation_id)) == 2, "one for each message"


async def test_a_host_stopped_after_its_look_at_the_lease_sends_late_if_at_all_and_the_same(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    """What is not promised, as far as it goes: the same key, the same body.

    Which of the two comes first when it wakes, its sending or the word that its lease is over, is
    up to the event loop.
    """
    sleeper, sending = await stopped_at("delivery.before_send", traffic, points, conversation_id)
    assert (await sending)["status"] == "completed"
    sleeper.resume()
    await traffic.send(message(conversation_id, "good morning"))
    assert len(stubs.delivered(conversation_id)) in (2, 3)
    await traffic.check_history(
        postgres, stubs, [conversation_id], is_undisturbed=False, may_deliver_late=True
    )


@pytest.mark.parametrize("kind", ["accept", "claim", "commit_turn", "record_delivery"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_writer_killed_with_a_batch_in_flight_or_just_committed_costs_nothing(
    moment: str,
    kind: str,
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
) -> None:
    ids = conversations_for(stubs, f"{moment}_{kind}")[:FEW]
    for conversation_id in ids:
        stubs.delay(conversation_id, 0.1)
    armed = points.arm(f"writer.{moment}_{kind}", signal.SIGKILL, ids[FEW // 2])
    sending = asyncio.create_task(traffic.send_all([message(it) for it in ids]))
    await armed.hit()
    await sending
    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    assert len(traffic.bodies) == FEW


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_client_whose_ingress_was_killed_sends_again_and_is_answered_once(
    moment: str,
    victim: Server,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
    tmp_path: Path,
) -> None:
    ingress = SecondIngress(victim, tmp_path, environment=points.environment)
    await ingress.start()
    async with open_traffic(ingress.url) as traffic:
        armed = points.arm(f"ingress.{moment}_accept", signal.SIGKILL, conversation_id)
        sending = asyncio.create_task(traffic.send(message(conversation_id)))
        await armed.hit()
        assert await ingress.ended() == -signal.SIGKILL
        await ingress.start()
        result = await sending
    await ingress.stop()
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=True)
    assert traffic.broken
    assert result["status"] == "completed"
    assert result["duplicate"] is (moment == "after")
