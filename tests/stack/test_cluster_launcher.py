"""``cluster.yaml`` as its first lines say: brought up, run and watched, over ssh."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import PostgresServer, start_redis
from tests.stack.ask import ENHANCED, message
from tests.stack.conftest import settings_of
from tests.stack.launched_cluster import WORKERS, LaunchedCluster, missing_programs
from tests.stack.server import ADMIN_TOKEN, MESSAGES_TOKEN, free_port, wait_for
from tests.stack.stubs import Stubs

pytestmark = [pytest.mark.timeout(900), pytest.mark.soak]

START_SECONDS = 120.0
RAY = "RAY_AUTH_MODE=token chat-orchestrator/.venv/bin/ray"
IN_CHECKOUT = "cd chat-orchestrator && .venv/bin/chat-orchestrator"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def cluster(
    stubs: Stubs, postgres: PostgresServer, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchedCluster]:
    missing = missing_programs()
    if missing or os.geteuid() != 0:
        pytest.skip(f"it takes root, and {', '.join(missing) or 'nothing else'}")
    redis = start_redis(tmp_path_factory.mktemp("launched-redis"))
    settings = {
        **settings_of(stubs, postgres, redis),
        "API_PORT": str(port),
        "PANCAKE_ACCESS_TOKEN": MESSAGES_TOKEN,
        "ADMIN_ACCESS_TOKEN": ADMIN_TOKEN,
        "CONVERSATION_HOSTS": "1",
    }
    running = LaunchedCluster(tmp_path_factory.mktemp("launched"), settings)
    yield running
    running.close()
    redis.stop()


async def hosts_with_shards(client: httpx.AsyncClient) -> int:
    try:
        answer = await client.get(
            "/api/v1/admin/stats", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        )
    except httpx.TransportError:
        return 0
    return sum(bool(it.get("shards")) for it in answer.json()["actors"])


async def test_a_cluster_is_brought_up_and_serves(
    cluster: LaunchedCluster, port: int, conversation_id: str
) -> None:
    cluster.ray("get-auth-token", "--generate")
    cluster.up()

    async def has_all_workers() -> bool:
        status = f"{RAY} status --address={cluster.address}"
        told = await asyncio.to_thread(cluster.execute, status)
        return f" {len(WORKERS) + 1} local.cluster.node" in told

    await wait_for(has_all_workers, START_SECONDS, "every worker has joined")
    cluster.execute(f"{IN_CHECKOUT} up", "--tmux")
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def all_serve() -> bool:
            return await hosts_with_shards(client) == len(WORKERS)

        await wait_for(all_serve, START_SECONDS, "each worker has a host")
        headers = {"Authorization": f"Bearer {MESSAGES_TOKEN}"}
        answer = await client.post(ENHANCED, json=message(conversation_id), headers=headers)
        assert answer.status_code == 200
        status = cluster.execute(f"{IN_CHECKOUT} status")
        assert status.count("ConversationHost") == len(WORKERS), status
