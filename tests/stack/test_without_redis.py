"""``up --no-redis``, and two products beside each other on one machine."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import History
from tests.stack.processes import kill_actor, process_tree, still_running
from tests.stack.server import ADMIN_TOKEN, Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

LONG_LEASE_SECONDS = 30
"""The default. Nobody is to wait so long for a host that is known to be dead."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def alone(
    stubs: Stubs,
    postgres: PostgresServer,
    stack_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server that does not use the Redis that its settings name."""
    settings = settings_of(stubs, postgres, stack_redis)
    settings["PROCESSING_LOCK_TTL"] = str(LONG_LEASE_SECONDS)
    server = Server(tmp_path_factory.mktemp("alone"), "--no-redis", **settings).start()
    yield server
    server.close()


async def test_everything_is_answered_without_redis_and_said_to_be_degraded(
    alone: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "alone")
    async with open_traffic(alone.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        again = [message(it, "once more") for it in ids]
        await traffic.send_all(again + again)
        await sending
    history = await History.when_over(postgres.url, stubs, ids)
    history.check(traffic.bodies, is_undisturbed=True)
    results = [result for results in traffic.results.values() for result in results]
    assert {it["storage_backend"] for it in results} == {"Memory"}

    async with alone.client(ADMIN_TOKEN) as admin:
        health = await admin.get("/health")
        report = (await admin.get("/api/v1/admin/health")).json()
        stats = (await admin.get("/api/v1/admin/stats")).json()
        listed = (await admin.get("/api/v1/admin/conversations?limit=500")).json()
        handler = (await admin.get("/api/v1/status/handler")).json()
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert report["status"] == "degraded"
    assert report["redis_status"] == "disconnected"
    assert report["postgres_status"] == "connected"
    assert report["storage_backend"] == stats["storage_backend"] == "Memory"
    assert listed["storage_backend"] == "Memory"
    assert {it["conversation_id"] for it in listed["conversations"]} >= set(ids)
    assert handler["components"]["redis_connected"] is False


async def test_an_idle_conversation_is_cancelled_and_answered_again_without_redis(
    alone: Server, stubs: Stubs, postgres: PostgresServer, conversation_id: str
) -> None:
    async with open_traffic(alone.url) as traffic, alone.client(ADMIN_TOKEN) as admin:
        first = await traffic.send(message(conversation_id))
        path = f"/api/v1/admin/conversations/{conversation_id}/cancel"
        cancelled = (await admin.post(path)).json()
        second = await traffic.send(message(conversation_id))
    assert first["status"] == second["status"] == "completed"
    assert first["distributed_lock_used"] is second["distributed_lock_used"] is False
    assert cancelled["success"] is True
    assert cancelled["cancelled_job_id"] is None
    history = await History.when_over(postgres.url, stubs, [conversation_id])
    history.check(traffic.bodies, is_undisturbed=True)


async def test_the_leases_of_a_killed_host_are_not_waited_for(
    alone: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "dead")
    outbox = conversations_for(stubs, "outbox")
    for conversation_id in outbox:
        stubs.delay(conversation_id, 0.01)
        stubs.plan_platform(conversation_id, 503, 503)
    async with open_traffic(alone.url, concurrency=200) as traffic:
        await traffic.send_all([message(it) for it in outbox])
        sending = await in_the_middle(traffic, stubs, ids)
        kill_actor(alone, "ConversationHost")
        killed_at = time.monotonic()
        await sending
        history = await History.when_over(postgres.url, stubs, ids + outbox)
        done_after = time.monotonic() - killed_at
    history.check(traffic.bodies, is_undisturbed=False)
    print(f"no Redis: all done {done_after:.1f} s after a host was killed")
    assert done_after < LONG_LEASE_SECONDS / 2


async def test_two_products_on_one_machine_do_not_disturb_each_other(
    server: Server,
    alone: Server,
    stubs: Stubs,
    stack_postgres: PostgresServer,
    postgres: PostgresServer,
) -> None:
    here, there = conversations_for(stubs, "here"), conversations_for(stubs, "there")
    async with (
        open_traffic(server.url, concurrency=200) as first,
        open_traffic(alone.url, concurrency=200) as second,
    ):
        sending = [
            await in_the_middle(first, stubs, here),
            await in_the_middle(second, stubs, there),
        ]
        await asyncio.gather(*sending)
        ours = await History.when_over(stack_postgres.url, stubs, here)
        theirs = await History.when_over(postgres.url, stubs, there)
        ours.check(first.bodies, is_undisturbed=True)
        theirs.check(second.bodies, is_undisturbed=True)

        # One stops, and the other does not notice.
        processes = process_tree(alone)
        assert not {it.pid for it in processes} & {it.pid for it in process_tree(server)}
        sending = [await in_the_middle(first, stubs, here)]
        assert await asyncio.to_thread(alone.stop, signal.SIGINT) == 0, alone.log_end()
        assert not await asyncio.to_thread(still_running, processes, 10)
        await asyncio.gather(*sending)
        await first.send_all([message(it, "still there?") for it in here])
    ours = await History.when_over(stack_postgres.url, stubs, here)
    ours.check(first.bodies, is_undisturbed=True)
    assert not first.refusals
    assert not first.broken
