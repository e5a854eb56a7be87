"""Ray's autoscaler adds machines while there is much to do, and takes them away when it is calm."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from actors.scaling import CALM_SECONDS
from tests.servers import PostgresServer, start_redis
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.played_machines import AutoscaledCluster
from tests.stack.ray_products import product_on
from tests.stack.server import Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.test_nodes import hosts_become
from tests.stack.traffic import open_traffic

pytestmark = [pytest.mark.timeout(900), pytest.mark.soak]

MOST = 3
HOST_BUSY = 20
AI_SECONDS = 2.0
START_SECONDS = 180.0
LEAVE_SECONDS = CALM_SECONDS + 120.0


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AutoscaledCluster]:
    running = AutoscaledCluster(tmp_path_factory.mktemp("autoscaled"), MOST)
    running.add(cpus=0)
    yield running
    running.close()


@pytest.fixture
async def server(
    cluster: AutoscaledCluster,
    stubs: Stubs,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Server]:
    await machines_become(cluster, 1)
    redis = start_redis(tmp_path_factory.mktemp("autoscaled-redis"))
    settings = settings_of(stubs, postgres, redis) | {
        "CONVERSATION_HOSTS": "1",
        "AUTOSCALE_MAX_NODES": str(MOST),
        "AUTOSCALE_HOST_BUSY": str(HOST_BUSY),
    }
    running = product_on(cluster, tmp_path_factory.mktemp("autoscaled-server"), settings).start()
    await asyncio.to_thread(install_audit, postgres.url)
    yield running
    running.close()
    redis.stop()


async def machines_become(cluster: AutoscaledCluster, count: int) -> None:
    """Wait until so many machines run beside the head."""

    async def are_there() -> bool:
        return await asyncio.to_thread(lambda: cluster.running) == count + 1

    await wait_for(are_there, LEAVE_SECONDS, f"{count} machines run")


async def test_machines_come_with_the_work_and_go_with_it(
    server: Server, cluster: AutoscaledCluster, stubs: Stubs, postgres: PostgresServer
) -> None:
    await hosts_become(server, 1)
    run = uuid.uuid4().hex[:8]
    ids = [f"grow_{run}_{number}" for number in range(MOST * HOST_BUSY)]
    for conversation_id in ids:
        stubs.delay(conversation_id, AI_SECONDS)
    async with open_traffic(server.url, concurrency=len(ids)) as traffic:
        is_grown = asyncio.Event()

        async def keep_busy() -> None:
            while not is_grown.is_set():
                await traffic.send_all([message(it, "and on") for it in ids])

        busy = asyncio.create_task(keep_busy())
        try:
            await hosts_become(server, MOST, START_SECONDS)
        finally:
            is_grown.set()
            await busy
        await traffic.send_all([message(it, "over all of them") for it in ids])

        await hosts_become(server, 1, LEAVE_SECONDS)
        await machines_become(cluster, 1)
        await traffic.send_all([message(it, "when it is calm") for it in ids])
        await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)
        assert not traffic.broken
        assert not traffic.refusals
