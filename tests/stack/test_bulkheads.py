"""A slow AI and a dead platform are the trouble of their own bots, and of nobody else.

The limits are small here: four calls at a time to each address, from each of two hosts.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import cancel_job, message, say
from tests.stack.bots import put_bots_of
from tests.stack.conftest import settings_of
from tests.stack.history import History
from tests.stack.proxy import Proxy
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, open_traffic

pytestmark = pytest.mark.timeout(240)

CONCURRENCY = 4
HOSTS = 2
SLOW = 30
"""Conversations of the slow bot: far more than there are slots."""
SETTLED_SECONDS = 60.0


@pytest.fixture(scope="module")
def far_platform(stubs: Stubs) -> Iterator[Proxy]:
    """A way to the platform that can be closed."""
    proxy = Proxy(urlsplit(stubs.url).port or 0).start()
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def parted(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    far_platform: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of our own with small limits, and two bots that are not like the others."""
    settings = settings_of(stubs, postgres, redis) | {
        "AI_MAX_CONCURRENCY": str(CONCURRENCY),
        "DELIVERY_MAX_CONCURRENCY": str(CONCURRENCY),
        "AI_SERVICE_TIMEOUT": "60",
        "DELIVERY_MAX_ATTEMPTS": "30",
        "RESPONSE_WAIT_SECONDS": "50",
        "CONVERSATION_HOSTS": str(HOSTS),
    }
    server = Server(tmp_path_factory.mktemp("bulkheads"), **settings).start()
    bots: dict[str, dict[str, Any]] = {
        # Another path is another AI; the same stub answers there too.
        "slow": {"name": "Slow", "ai_core": {"path": "/process/slow"}},
        "far": {
            "name": "Far",
            "platform": {"base_url": f"http://127.0.0.1:{far_platform.port}"},
        },
    }
    put_bots_of(server, stubs, bots)
    yield server
    server.close()


def names(kind: str, count: int) -> list[str]:
    run = uuid.uuid4().hex[:8]
    return [f"{kind}_{run}_{number}" for number in range(count)]


def hold_all(stubs: Stubs, ids: list[str]) -> Callable[[], None]:
    releases = [stubs.hold(conversation_id) for conversation_id in ids]

    def release() -> None:
        for each in releases:
            each()

    return release


async def slots_taken(stubs: Stubs, ids: list[str]) -> int:
    """Wait until no further call of these conversations begins; return how many run."""

    def running() -> int:
        return sum(call.is_running for it in ids for call in stubs.ai_calls(it))

    async def at_least_one_host_is_full() -> bool:
        return running() >= CONCURRENCY

    await wait_for(at_least_one_host_is_full, 30, "the slots are taken")
    return running()


async def all_done(traffic: Traffic, bodies: list[dict[str, Any]]) -> None:
    await traffic.send_all(bodies)
    said = {it["status"] for body in bodies for it in traffic.results[body["message_id"]]}
    assert said <= {"completed", "restart_needed"}, said


async def test_a_slow_ai_slows_nobody_who_asks_another(
    parted: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    slow, quick = names("slow", SLOW), names("quick", 20)
    release = hold_all(stubs, slow)
    async with open_traffic(parted.url, 100) as traffic:
        metadata = {"bot_id": "slow"}
        held = asyncio.create_task(
            traffic.send_all([message(it, metadata=metadata) for it in slow])
        )
        await slots_taken(stubs, slow)
        started_at = time.monotonic()
        await all_done(traffic, [message(it) for it in quick])
        beside = time.monotonic() - started_at
        calls = [call for it in slow for call in stubs.ai_calls(it)]
        assert not held.done()
        assert len(calls) <= HOSTS * CONCURRENCY, "more calls at a time than there are slots"
        release()
        await held
        history = await History.when_over(postgres.url, stubs, slow + quick, SETTLED_SECONDS)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert not traffic.refusals
    print(f"slow AI: {len(calls)} calls held, 20 others answered in {beside:.2f} s")


async def test_who_waits_for_a_slow_ai_can_be_cancelled_and_gives_way_to_a_person(
    parted: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    slow = names("queued", SLOW)
    release = hold_all(stubs, slow)
    metadata = {"bot_id": "slow"}
    async with open_traffic(parted.url, 100) as traffic, parted.client(ADMIN_TOKEN) as client:
        held = asyncio.create_task(
            traffic.send_all([message(it, metadata=metadata) for it in slow])
        )
        await slots_taken(stubs, slow)
        rows = await _running_jobs(stubs, postgres, slow)
        waiting = [it for it in slow if not stubs.ai_calls(it) and it in rows]
        for_person, for_cancel, for_restart = waiting[:3]
        # No word of an AI is needed for any of these.
        agent = await say(client, for_person, "I take over", sender_type="agent")
        assert agent["status"] == "recorded"
        cancelled = await cancel_job(client, rows[for_cancel])
        assert cancelled["success"] is True
        assert not held.done()
        merged = asyncio.create_task(
            traffic.send(message(for_restart, "one more", metadata=metadata))
        )
        # Their callers are told by the host, which has taken them out of the line then.
        known = [
            body["message_id"]
            for body in traffic.bodies.values()
            if body["conversation_id"] in (for_person, for_cancel)
        ]

        async def are_told() -> bool:
            return all(it in traffic.results for it in known)

        await wait_for(are_told, what="word of the two that are over")
        assert not any(stubs.ai_calls(it) for it in (for_person, for_cancel))
        release()
        await held
        await merged
        ended = {
            it: traffic.results[body["message_id"]][0]
            for body in traffic.bodies.values()
            if (it := str(body["conversation_id"])) in (for_person, for_cancel)
        }
        history = await History.when_over(postgres.url, stubs, slow, SETTLED_SECONDS)
    assert ended[for_person]["reason"] == "agent_replied"
    assert ended[for_cancel]["reason"] == "cancelled"
    assert not stubs.ai_calls(for_person), "a person had answered"
    assert not stubs.ai_calls(for_cancel), "it was cancelled"
    rest = [it for it in slow if it not in (for_person, for_cancel)]
    history = await History.when_over(postgres.url, stubs, rest, SETTLED_SECONDS)
    history.check(
        {key: it for key, it in traffic.bodies.items() if it["conversation_id"] in rest},
        is_undisturbed=True,
    )


async def _running_jobs(stubs: Stubs, postgres: PostgresServer, ids: list[str]) -> dict[str, str]:
    """Wait until every conversation has a running turn; return their jobs."""
    found: dict[str, str] = {}

    async def all_run() -> bool:
        history = await History.read(postgres.url, stubs, ids)
        for name, jobs in history.jobs.items():
            running = [str(it["id"]) for it in jobs if it["status"] == "processing"]
            if running:
                found[name] = running[0]
        return len(found) == len(ids)

    await wait_for(all_run, 30, "all turns have begun")
    return found


async def down(
    parted: Server,
    stubs: Stubs,
    postgres: PostgresServer,
    far_platform: Proxy,
    seconds: float,
    *,
    is_silent: bool,
) -> None:
    """Close the way to one platform for some time: the other's answers go out as ever."""
    far, near = names("far", 20), names("near", 20)
    metadata = {"bot_id": "far"}
    async with open_traffic(parted.url, 100) as traffic:
        await traffic.send_all([message(it, metadata=metadata) for it in far])
        rule = far_platform.black_hole() if is_silent else far_platform.refuse()
        down_until = time.monotonic() + seconds
        sending: list[asyncio.Task[None]] = []
        rounds = 0
        waits: list[float] = []
        while time.monotonic() < down_until:
            rounds += 1
            if rounds <= 10:  # past 16 undelivered answers no turn would start
                bodies = [message(it, f"text {rounds}", metadata=metadata) for it in far]
                sending.append(asyncio.create_task(traffic.send_all(bodies)))
            started_at = time.monotonic()
            await all_done(traffic, [message(it, f"text {rounds}") for it in near])
            waits.append(time.monotonic() - started_at)
            await asyncio.sleep(1.0)
        delivered_before = sum(len(stubs.delivered(it)) for it in far)
        rule.end()
        ended_at = time.monotonic()
        await asyncio.gather(*sending)
        history = await History.when_over(postgres.url, stubs, far + near, 2 * SETTLED_SECONDS)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    assert not traffic.refusals
    assert delivered_before == len(far), "the platform was not down"
    attempts = max(it["delivery_attempts"] for jobs in history.jobs.values() for it in jobs)
    assert attempts > 1, "nothing had to be tried again"
    print(f"platform away for {seconds:.0f} s: {rounds} rounds beside it, slowest", end=" ")
    print(f"{max(waits):.2f} s; up to {attempts} attempts;", end=" ")
    print(f"all delivered {time.monotonic() - ended_at:.1f} s after it was back")


async def test_a_platform_that_refuses_connections_slows_no_other(
    parted: Server, stubs: Stubs, postgres: PostgresServer, far_platform: Proxy
) -> None:
    await down(parted, stubs, postgres, far_platform, 8, is_silent=False)


async def test_a_platform_that_does_not_answer_slows_no_other(
    parted: Server, stubs: Stubs, postgres: PostgresServer, far_platform: Proxy
) -> None:
    await down(parted, stubs, postgres, far_platform, 12, is_silent=True)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_silent", [False, True], ids=["refusing", "silent"])
async def test_a_platform_may_be_down_for_a_minute(
    parted: Server, stubs: Stubs, postgres: PostgresServer, far_platform: Proxy, *, is_silent: bool
) -> None:
    await down(parted, stubs, postgres, far_platform, 60, is_silent=is_silent)
