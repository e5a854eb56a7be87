"""The database is away for much longer than a lease: refused soon, waited for, committed once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import ENHANCED, message
from tests.stack.conftest import LEASE_SECONDS, settings_of
from tests.stack.history import History
from tests.stack.processes import memory_of
from tests.stack.proxy import Proxy
from tests.stack.server import Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = [pytest.mark.timeout(240), pytest.mark.soak]  # shorter ones: test_outages.py

OUTAGE_SECONDS = 5 * LEASE_SECONDS
UNNOTICED_SECONDS = 10.0
"""So long a message may wait for a database of which nobody knows yet that it is away."""
MOST_GROWTH_BYTES = 100 << 20


@pytest.fixture(scope="module")
def tried(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    way_to_postgres: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of our own whose callers wait for longer than the outage lasts."""
    settings = settings_of(stubs, postgres, redis) | {
        "DATABASE_URL": way_to_postgres.url,
        "RESPONSE_WAIT_SECONDS": "50",
    }
    server = Server(tmp_path_factory.mktemp("long"), **settings).start()
    yield server
    server.close()


@asynccontextmanager
async def stopped(postgres: PostgresServer) -> AsyncIterator[None]:
    await asyncio.to_thread(postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.start)


@asynccontextmanager
async def unheard(way_to_postgres: Proxy) -> AsyncIterator[None]:
    with way_to_postgres.black_hole():
        yield


async def health(client: httpx.AsyncClient) -> int:
    return (await client.get("/health")).status_code


async def outlast(
    server: Server,
    stubs: Stubs,
    postgres: PostgresServer,
    outage: AbstractAsyncContextManager[None],
) -> None:
    ids = conversations_for(stubs, "long")
    before = memory_of(server)
    slowest = {"unnoticed": 0.0, "known": 0.0}
    refusals = 0
    async with open_traffic(server.url, concurrency=200) as traffic, server.client() as client:
        sending = await in_the_middle(traffic, stubs, ids)
        async with outage:
            began_at = time.monotonic()
            is_known = False
            while time.monotonic() - began_at < OUTAGE_SECONDS:
                is_known = is_known or await health(client) == 503
                refused = [message(f"new_{uuid.uuid4().hex}") for _ in range(20)]
                seconds = await asyncio.gather(*(refuse(client, it) for it in refused))
                refusals += len(refused)
                kind = "known" if is_known else "unnoticed"
                slowest[kind] = max(slowest[kind], *seconds)
                await asyncio.sleep(0.5)
            assert is_known, "/health has not noticed"
            assert await health(client) == 503
            delivered = sum(len(stubs.deliveries(it)) for it in ids)
        back_at = time.monotonic()

        async def is_healthy() -> bool:
            return await health(client) == 200

        await wait_for(is_healthy, 20, "/health says that it is back")
        healthy_after = time.monotonic() - back_at
        await sending
        settled_after = time.monotonic() - back_at
        await traffic.send_all([message(it, "and now?") for it in ids])
        history = await History.when_over(postgres.url, stubs, ids, 40)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    calls = [call for it in ids for call in stubs.ai_calls(it)]
    asked = {(it.body["job_id"], tuple(it.body["message_ids"])) for it in calls}
    assert len(calls) == len(asked), "the AI was asked again about what it had answered"
    growth = {pid: size - before.get(pid, size) for pid, size in memory_of(server).items()}
    assert max(growth.values()) < MOST_GROWTH_BYTES, growth
    print(
        f"{OUTAGE_SECONDS:.0f} s: {refusals} refused, slowest {slowest['unnoticed']:.1f} s", end=""
    )
    print(f" unnoticed, {slowest['known']:.1f} s known; {delivered} delivered by then;", end=" ")
    print(f"healthy after {healthy_after:.1f} s, turns committed after {settled_after:.1f} s")
    assert slowest["unnoticed"] < UNNOTICED_SECONDS
    assert slowest["known"] < slowest["unnoticed"] + 1


async def refuse(client: httpx.AsyncClient, body: dict[str, object]) -> float:
    """Send a message that cannot be stored now; return how long it took to hear that."""
    started_at = time.monotonic()
    response = await client.post(ENHANCED, json=body)
    assert response.status_code == 503, response.text
    assert response.json()["code"] in ("storage_unavailable", "overloaded")
    assert int(response.headers["Retry-After"]) > 0
    return time.monotonic() - started_at


async def test_turns_wait_for_a_stopped_database_and_commit_when_it_is_back(
    tried: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    await outlast(tried, stubs, postgres, stopped(postgres))


async def test_turns_wait_for_a_database_that_does_not_answer_and_commit_when_it_does(
    tried: Server, stubs: Stubs, postgres: PostgresServer, way_to_postgres: Proxy
) -> None:
    await outlast(tried, stubs, postgres, unheard(way_to_postgres))
