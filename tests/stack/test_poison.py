"""What kills its host, or what the database refuses, is given up; all else is answered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from storage.postgres import Database
from tests.servers import PostgresServer
from tests.stack.ask import final_job, job_of, message
from tests.stack.bots import put_bots_of
from tests.stack.fault_points.control import Armed, FaultPoints
from tests.stack.history import History
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.test_dead_letters import letters_of, retry
from tests.stack.traffic import Traffic

pytestmark = pytest.mark.timeout(300)

MOST_ATTEMPTS = 5
MOST_DELIVERIES = 3
GIVEN_UP_SECONDS = 150
"""Each attempt ends with a host that has to be started again."""
BYSTANDERS = 12
UNSTORABLE = "the database does not take this"
SORRY = {"fallback_message": "Sorry."}
BOTS = {"sorry": SORRY, "sorrier": {"fallback_message": f"{UNSTORABLE} either"}}


@pytest.fixture(scope="module")
def own_settings(all_points: FaultPoints) -> dict[str, str]:
    return all_points.environment | {"DELIVERY_MAX_ATTEMPTS": str(MOST_DELIVERIES)}


@pytest.fixture(scope="module")
def victim(victim: Server, stubs: Stubs) -> Server:
    put_bots_of(victim, stubs, BOTS)
    return victim


@pytest.fixture
async def admin(victim: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with victim.client(ADMIN_TOKEN) as opened:
        yield opened


def deadly(points: FaultPoints, point: str, whom: str) -> list[Armed]:
    """Let every host die that comes by the point with this, however often."""
    return [points.arm(point, signal.SIGKILL, whom) for _ in range(20)]


def deaths(armed: list[Armed]) -> int:
    return sum(it.was_hit for it in armed)


async def given_up(admin: httpx.AsyncClient, conversation_id: str) -> dict[str, Any]:
    """Wait for the dead letter of a conversation."""

    async def letter() -> list[dict[str, Any]]:
        try:
            return await letters_of(admin, conversation_id)
        except httpx.TransportError:
            return []

    (found,) = await wait_for(letter, GIVEN_UP_SECONDS, f"{conversation_id} is given up")
    dead_letter: dict[str, Any] = found
    return dead_letter


async def talk(traffic: Traffic, conversation_id: str, until: asyncio.Event) -> None:
    """Say one thing after the other, with a pause after each answer."""
    number = 0
    while not until.is_set():
        number += 1
        await traffic.send(message(conversation_id, f"text {number}"))
        await asyncio.sleep(0.2)


async def check(
    postgres: PostgresServer, stubs: Stubs, traffic: Traffic, ids: list[str]
) -> History:
    history = await History.when_over(postgres.url, stubs, ids, timeout_seconds=60)
    own = {key: it for key, it in traffic.bodies.items() if it["conversation_id"] in ids}
    history.check(own, is_undisturbed=False, requests=traffic.requests)
    return history


@pytest.mark.soak  # five hosts die, one after the other: 70 s
async def test_a_message_that_kills_its_host_is_given_up_and_all_others_are_answered(
    traffic: Traffic,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    text = f"poison of {conversation_id}"
    armed = deadly(points, "turn.before_ai", text)
    others = [f"{conversation_id}_{number}" for number in range(BYSTANDERS)]
    for number, other in enumerate(others):
        # The turns of some are cut off by one death after the other.
        stubs.delay(other, 5.0 if number % 3 == 0 else 0.5)
    is_over = asyncio.Event()
    poison = message(conversation_id, text, metadata={"bot_id": "sorry"})
    neighbours = [message(conversation_id, f"neighbour {number}") for number in range(2)]
    for neighbour in neighbours:
        neighbour["metadata"] = {"bot_id": "sorry"}
    async with asyncio.TaskGroup() as group:
        for other in others:
            group.create_task(talk(traffic, other, is_over))
        group.create_task(traffic.send(poison))
        group.create_task(_send_later(traffic, armed, neighbours))
        letter = await given_up(admin, conversation_id)
        is_over.set()

    assert letter["message_ids"] == [poison["message_id"]]
    assert (letter["kind"], letter["reason"]) == ("message", "ai_error")
    assert letter["attempts"] == MOST_ATTEMPTS
    assert letter["error"] == f"its owner went away {MOST_ATTEMPTS} times while answering it"
    # An owner that has only lost its lease counts too, at first.
    assert 2 < deaths(armed) <= MOST_ATTEMPTS
    points.disarm_all()
    history = await check(postgres, stubs, traffic, [conversation_id, *others])
    failed = [it["id"] for jobs in history.jobs.values() for it in jobs if it["status"] == "failed"]
    assert failed == [letter["id"]]
    fallback, *answers = stubs.delivered(conversation_id)
    assert fallback.idempotency_key == letter["id"]
    assert fallback.body["actions"][0]["data"] == {"message": "Sorry."}
    answered = [message_id for it in answers for message_id in it.body["message_ids"]]
    assert sorted(answered) == sorted(it["message_id"] for it in neighbours)
    print(f"poison: {deaths(armed)} hosts died, {len(traffic.bodies) - 3} others answered,", end="")
    print(f" each within {max(traffic.waits):.1f} s", end=" ")

    # Without the poison it is answered, after what was answered meanwhile.
    retried = await retry(admin, letter["id"])
    job = await final_job(admin, retried["job_id"])
    assert (job["status"], job["message_ids"]) == ("completed", [poison["message_id"]])
    await check(postgres, stubs, traffic, [conversation_id])
    assert stubs.delivered(conversation_id)[-1].idempotency_key == retried["job_id"]


async def _send_later(
    traffic: Traffic, armed: list[Armed], neighbours: list[dict[str, Any]]
) -> None:
    """Send what comes behind the poison once that has killed somebody."""

    async def is_dead() -> bool:
        return deaths(armed) > 0

    await wait_for(is_dead, 60, "a host dies")
    for neighbour in neighbours:
        await traffic.send(neighbour)


async def test_a_delivery_that_kills_its_host_is_given_up_and_the_next_one_is_sent(
    traffic: Traffic,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    armed = deadly(points, "delivery.before_send", conversation_id)
    await traffic.send(message(conversation_id, "first"))
    letter = await given_up(admin, conversation_id)
    points.disarm_all()
    assert (letter["kind"], letter["attempts"]) == ("delivery", MOST_DELIVERIES)
    assert 1 < deaths(armed) <= MOST_DELIVERIES
    assert letter["error"] == f"{MOST_DELIVERIES} attempts were begun, and the last did not end"
    second = await traffic.send(message(conversation_id, "second"))
    await retry(admin, letter["id"])
    await check(postgres, stubs, traffic, [conversation_id])
    keys = [it.idempotency_key for it in stubs.delivered(conversation_id)]
    assert keys == [second["job_id"], letter["id"]]


async def test_an_answer_that_the_database_refuses_ends_as_a_dead_letter(
    traffic: Traffic,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    postgres: PostgresServer,
    conversation_id: str,
) -> None:
    database = await Database.connect(postgres.url, max_connections=1)
    await database.fetch(f"alter table messages add check (content not like '{UNSTORABLE}%')")
    await database.close()
    for bot_id, count in (("sorry", 1), ("sorrier", 0)):
        conversation = f"{conversation_id}_{bot_id}"
        stubs.plan_ai(conversation, {"response_text": UNSTORABLE})
        result = await traffic.send(message(conversation, metadata={"bot_id": bot_id}))
        assert (result["status"], result["reason"]) == ("failed", "ai_invalid_response")
        (letter,) = await letters_of(admin, conversation)
        assert letter["error"] == "the database does not take what was to be said"
        assert (await job_of(admin, letter["id"]))["status"] == "failed"
        assert len(stubs.deliveries(conversation)) == count
        assert len(stubs.ai_calls(conversation)) == 1
        await check(postgres, stubs, traffic, [conversation])
