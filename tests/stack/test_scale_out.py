"""One machine, three, and one again, under load: each serves, each takes its share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.servers import PostgresServer, start_redis
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.ray_nodes import Machine, RayCluster
from tests.stack.ray_products import product_on
from tests.stack.server import Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.test_nodes import hosts_become, shards
from tests.stack.traffic import Traffic, open_traffic

pytestmark = [pytest.mark.timeout(600), pytest.mark.soak]

CALLS_AT_A_TIME = 10
"""Of each host to the AI: that bounds the throughput here, and not the machine that plays all."""
AI_SECONDS = 0.5
MEASURED = 200
SERVES_SECONDS = 90.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    running = RayCluster(tmp_path_factory.mktemp("scale-ray"))
    running.add()
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(
    cluster: RayCluster,
    stubs: Stubs,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    redis = start_redis(tmp_path_factory.mktemp("scale-redis"))
    settings = settings_of(stubs, postgres, redis) | {
        "CONVERSATION_HOSTS": "1",
        "INGRESS_ON_NODES": "true",
        "AI_MAX_CONCURRENCY": str(CALLS_AT_A_TIME),
        "RESPONSE_WAIT_SECONDS": "60",
    }
    running = product_on(cluster, tmp_path_factory.mktemp("scale"), settings).start()
    install_audit(postgres.url)
    yield running
    running.close()
    redis.stop()


def conversations(stubs: Stubs, name: str, count: int) -> list[str]:
    run = uuid.uuid4().hex[:8]
    ids = [f"{name}_{run}_{number}" for number in range(count)]
    for conversation_id in ids:
        stubs.delay(conversation_id, AI_SECONDS)
    return ids


async def turns_a_second(traffic: Traffic, stubs: Stubs, name: str, seen: list[str]) -> float:
    """Have one message answered in each of many conversations; return how fast that went."""
    ids = conversations(stubs, name, MEASURED)
    seen += ids
    started_at = time.monotonic()
    await traffic.send_all([message(it, "measured") for it in ids])
    return MEASURED / (time.monotonic() - started_at)


@asynccontextmanager
async def steady_load(traffic: Traffic, stubs: Stubs, seen: list[str]) -> AsyncIterator[None]:
    """Have messages come all the time while the block lasts."""
    ids = conversations(stubs, "steady", 20)
    seen += ids
    is_over = asyncio.Event()

    async def send() -> None:
        while not is_over.is_set():
            await traffic.send_all([message(it, "and on") for it in ids])

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        is_over.set()
        await sending


def url_of(machine: Machine, server: Server) -> str:
    return f"http://{machine.address}:{server.port}"


async def serves(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/health/live", timeout=5)).status_code == 200
    except httpx.TransportError:
        return False


async def test_one_machine_becomes_three_and_one_again_under_load(
    server: Server, cluster: RayCluster, stubs: Stubs, postgres: PostgresServer
) -> None:
    seen: list[str] = []
    async with open_traffic(server.url, concurrency=MEASURED) as traffic:
        alone = await turns_a_second(traffic, stubs, "alone", seen)

        async with steady_load(traffic, stubs, seen):
            joined = [await asyncio.to_thread(cluster.add) for _ in range(2)]
            await hosts_become(server, 3)
            urls = [url_of(it, server) for it in joined]
            for url in urls:
                await wait_for(lambda url=url: serves(url), SERVES_SECONDS, f"{url} serves")
        spread = await shards(server)
        mean = sum(spread.values()) / len(spread)
        assert all(abs(count - mean) <= mean / 5 for count in spread.values()), spread

        together = await turns_a_second(traffic, stubs, "together", seen)
        for url in urls:
            await send_over(url, traffic, stubs, seen)

        async with steady_load(traffic, stubs, seen):
            for machine in joined:
                await asyncio.to_thread(cluster.drain, machine)
            await hosts_become(server, 1)
            for url in urls:
                await wait_for(lambda url=url: stopped(url), SERVES_SECONDS, f"{url} is closed")
        for machine in joined:
            await asyncio.to_thread(machine.shut_down)
        await traffic.send_all([message(it, "after all") for it in seen])

        await traffic.check_history(postgres, stubs, seen, is_undisturbed=True)
        assert not traffic.broken
        assert set(traffic.refusals) <= {503}
        print(f"{alone:.0f} turns/s with one host, {together:.0f} with three; {spread}")
        assert together > 1.5 * alone


async def stopped(url: str) -> bool:
    return not await serves(url)


async def send_over(url: str, traffic: Traffic, stubs: Stubs, seen: list[str]) -> None:
    """Send to a machine's own HTTP server; what came of it counts with the other traffic."""
    ids = conversations(stubs, "there", 20)
    seen += ids
    async with open_traffic(url) as there:
        await there.send_all([message(it, "over another server") for it in ids])
        traffic.bodies |= there.bodies
        traffic.requests += there.requests
        traffic.refusals += there.refusals
        traffic.broken += there.broken
