"""Redis and PostgreSQL go away and come back while turns are under way."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import ENHANCED, message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.health import health_becomes
from tests.stack.history import History
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import AI_SECONDS, conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(180)

NOTICED_SECONDS = 5.0
"""In which a change must show in what the product says of itself."""


@pytest.fixture(autouse=True)
def both_run_before_each_test(postgres: PostgresServer, redis: RedisServer) -> None:
    """A test that failed halfway is the only one that fails."""
    for server in (postgres, redis):
        if server.pid is None:
            server.start()


@pytest.fixture(scope="module")
def own_settings() -> dict[str, str]:
    return {"RESPONSE_WAIT_SECONDS": "20"}


async def storage_backend(server: Server) -> str:
    """Return what the admin's list says it works with."""
    async with server.client(ADMIN_TOKEN) as admin:
        answer = (await admin.get("/api/v1/admin/conversations?limit=5")).json()
    backend: str = answer["storage_backend"]
    assert answer["total_conversations"] >= len(answer["conversations"])
    return backend


async def leases(redis: RedisServer, ids: list[str]) -> int:
    """Count the conversations that have a lease in Redis."""
    client = Redis.from_url(redis.url)
    try:
        return int(await client.exists(*(f"lease:{it}" for it in ids)))
    finally:
        await client.aclose()


async def away_during_turns(
    server: Server,
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    take_away: Callable[[], Awaitable[None]],
    give_back: Callable[[], Awaitable[None]],
) -> None:
    ids = conversations_for(stubs, "redis")
    slow = f"{ids[0]}_slow"
    stubs.delay(slow, 2 * LEASE_SECONDS)
    async with open_traffic(server.url, concurrency=200) as traffic:
        long_turn = asyncio.create_task(traffic.send(message(slow)))
        sending = await in_the_middle(traffic, stubs, ids)
        await take_away()
        noticed_after = await health_becomes(server, "degraded", NOTICED_SECONDS)
        await sending
        under_way = max(traffic.waits)
        assert (await long_turn)["status"] == "completed"
        assert await storage_backend(server) == "Memory"

        traffic.waits.clear()
        fresh = conversations_for(stubs, "without")
        await traffic.send_all([message(it) for it in ids + fresh])
        results = [traffic.results[it][-1] for it in list(traffic.bodies)[-len(fresh) :]]
        assert {it["storage_backend"] for it in results} == {"Memory"}
        without = max(traffic.waits)

        # Turns are under way again when it comes back, empty.
        sending = await in_the_middle(traffic, stubs, ids)
        await give_back()
        came_back_after = await health_becomes(server, "healthy", LEASE_SECONDS + NOTICED_SECONDS)
        assert await storage_backend(server) == "Redis"
        assert await leases(redis, ids + fresh) == len(ids + fresh)
        await sending
        await History.when_over(postgres.url, stubs, ids)
        last = await traffic.send(message(ids[0]))
        assert last["status"] == "completed"
        assert last["storage_backend"] == "Redis"
        assert last["distributed_lock_used"] is True

    await traffic.check_history(postgres, stubs, [*ids, *fresh, slow], is_undisturbed=False)
    assert len(stubs.ai_calls(slow)) == 1, "a turn was given up although its owner lived"
    print(
        f"degraded after {noticed_after:.1f} s; longest wait {under_way:.1f} s under way,", end=" "
    )
    print(f"{without:.1f} s without Redis; healthy {came_back_after:.1f} s after it was back")
    assert not traffic.refusals
    # An owner trusts its lease in Redis to the end, and takes it in the database then.
    assert under_way < 3 * AI_SECONDS + 2 * LEASE_SECONDS + NOTICED_SECONDS
    assert without < 2 * AI_SECONDS + LEASE_SECONDS + NOTICED_SECONDS


async def test_turns_go_on_when_redis_is_killed_and_comes_back_empty(
    victim: Server, stubs: Stubs, postgres: PostgresServer, redis: RedisServer
) -> None:
    await away_during_turns(
        victim,
        stubs,
        postgres,
        redis,
        lambda: asyncio.to_thread(redis.kill),
        lambda: asyncio.to_thread(redis.start),
    )


async def test_turns_go_on_when_redis_does_not_answer(
    victim: Server, stubs: Stubs, postgres: PostgresServer, redis: RedisServer
) -> None:
    process_id = redis.pid
    assert process_id is not None

    async def send(number: signal.Signals) -> None:
        os.kill(process_id, number)

    try:
        await away_during_turns(
            victim,
            stubs,
            postgres,
            redis,
            lambda: send(signal.SIGSTOP),
            lambda: send(signal.SIGCONT),
        )
    finally:
        os.kill(process_id, signal.SIGCONT)


async def test_without_the_database_nothing_is_accepted_and_turns_wait_for_it(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "database")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        await asyncio.to_thread(postgres.stop)
        await health_becomes(victim, "unhealthy", NOTICED_SECONDS)
        async with victim.client() as client:
            health = await client.get("/health")
            refused = await client.post(ENHANCED, json=message(ids[0], "nobody hears this"))
        assert health.status_code == 503
        assert refused.status_code == 503
        assert refused.json()["code"] == "storage_unavailable"
        assert int(refused.headers["Retry-After"]) > 0

        await asyncio.sleep(AI_SECONDS)
        await asyncio.to_thread(postgres.start)
        recovered_after = await health_becomes(victim, "healthy", 10)
        await sending
        result = await traffic.send(message(ids[0], "and now?"))
        assert result["status"] in ("completed", "locked")

    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    calls = [call for it in ids for call in stubs.ai_calls(it)]
    seen = {message_id for call in calls for message_id in call.body["message_ids"]}
    print(f"healthy {recovered_after:.1f} s after the database was back;", end=" ")
    print(f"{len(calls)} AI calls for {len(ids)} conversations, {len(seen)} messages")


async def test_a_turn_under_way_commits_when_the_database_is_back(
    victim: Server, stubs: Stubs, postgres: PostgresServer, conversation_id: str
) -> None:
    stubs.delay(conversation_id, AI_SECONDS)
    async with open_traffic(victim.url) as traffic:
        sending = asyncio.create_task(traffic.send(message(conversation_id)))

        async def is_running() -> bool:
            return bool(stubs.ai_calls(conversation_id))

        await wait_for(is_running, 10, "the turn runs")
        await asyncio.to_thread(postgres.stop)

        async def has_answered() -> bool:
            return stubs.ai_calls(conversation_id)[0].ended_at is not None

        await wait_for(has_answered, 10, "the AI has answered")
        await asyncio.sleep(LEASE_SECONDS)
        assert not stubs.deliveries(conversation_id), "delivered before it was committed"
        await asyncio.to_thread(postgres.start)
        result = await sending

    assert result["status"] == "completed"
    assert len(stubs.ai_calls(conversation_id)) == 1, "the answer was thrown away"
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=True)


async def test_both_may_be_away_at_once(
    victim: Server, stubs: Stubs, postgres: PostgresServer, redis: RedisServer
) -> None:
    ids = conversations_for(stubs, "both")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(postgres.kill)
        await asyncio.sleep(LEASE_SECONDS + AI_SECONDS)
        await asyncio.to_thread(postgres.start)
        await health_becomes(victim, "degraded", 10)
        await sending
        history = await History.when_over(postgres.url, stubs, ids)
        await asyncio.to_thread(redis.start)
        await health_becomes(victim, "healthy", 10)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    print(f"both away: longest wait {max(traffic.waits):.1f} s")
