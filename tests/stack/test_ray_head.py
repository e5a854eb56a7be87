"""Ray's head dies: with what it knows kept in a Redis of its own, and without."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import PostgresServer, RedisServer, start_postgres, start_redis
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import History
from tests.stack.ray_nodes import Machine, RayCluster
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(300)

NOTICE_SECONDS = 30.0
END_SECONDS = 30.0
PATIENCE_SECONDS = 10
"""How long Ray's processes wait for a head that is away, then they end; 60 if nobody says."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = start_postgres(tmp_path_factory.mktemp("head-postgres"))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("head-redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def settings(stubs: Stubs, postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    return settings_of(stubs, postgres, redis) | {"CONVERSATION_HOSTS": "2"}


def product_on(cluster: RayCluster, directory: Path, settings: dict[str, str]) -> Server:
    """Return ``chat-orchestrator up`` on the head's machine, not started."""
    joining = {**settings, **cluster.environment(), "RAY_ADDRESS": cluster.address}
    return Server(directory, **joining)


def ingress_on(machine: Machine, product: Server, directory: Path) -> Server:
    """Return ``uvicorn ingress.app:app`` on another machine, not started."""
    ingress = Server(directory)
    ingress.environment = product.environment
    ingress.command = [
        sys.executable,
        "-m",
        "tests.stack.on_machine",
        machine.address,
        str(ingress.port),
    ]
    return ingress


async def status_of(server: Server) -> int:
    async with server.client(timeout_seconds=5) as client:
        return (await client.get("/health")).status_code


async def test_hosts_of_other_nodes_go_on_while_the_head_is_away_and_it_comes_back(
    stubs: Stubs,
    postgres: PostgresServer,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    knowledge = start_redis(tmp_path / "knowledge")
    cluster = RayCluster(tmp_path, redis=knowledge)
    head = await asyncio.to_thread(cluster.add, 0)  # no CPUs to give: it heads, and nothing else
    worker = await asyncio.to_thread(cluster.add)
    product = product_on(cluster, tmp_path, settings)
    ingress = ingress_on(worker, product, tmp_path)
    try:
        await asyncio.to_thread(product.start)
        await asyncio.to_thread(ingress.start)
        assert len(worker.actors("ConversationHost")) == 2
        assert worker.actors("Supervisor")
        ids = conversations_for(stubs, "head")
        async with open_traffic(ingress.url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids)
            await asyncio.to_thread(head.cut_power)
            product.kill()
            await sending
            for number in range(3):
                await traffic.send_all([message(it, f"nobody heads {number}") for it in ids])
            assert await status_of(ingress) == 200
            assert not traffic.refusals
            assert not traffic.broken
            assert "processing" not in traffic.statuses()
            history = await History.when_over(postgres.url, stubs, ids)
            history.check(traffic.bodies, is_undisturbed=True)
            print(f"head away: longest wait of a caller {max(traffic.waits):.1f} s", end="; ")

            await asyncio.to_thread(head.start)
            await asyncio.to_thread(product.start)
            back_at = time.monotonic()
            # What needs a head works again: a host that dies is started anew.
            victim = worker.actors("ConversationHost")[0]
            sending = await in_the_middle(traffic, stubs, ids)
            victim.kill()
            await sending

            async def is_replaced() -> bool:
                return len([it for it in worker.actors("ConversationHost") if it != victim]) == 2

            await wait_for(is_replaced, NOTICE_SECONDS, "the killed host runs again")
            print(f"a killed host replaced {time.monotonic() - back_at:.1f} s after its return")
            history = await History.when_over(postgres.url, stubs, ids)
            history.check(traffic.bodies, is_undisturbed=False)
    finally:
        ingress.end()
        product.end()
        cluster.close()
        knowledge.stop()


async def test_without_that_the_cluster_is_started_again_and_nothing_is_lost(
    stubs: Stubs,
    postgres: PostgresServer,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    cluster = RayCluster(tmp_path, patience_seconds=PATIENCE_SECONDS)
    head = await asyncio.to_thread(cluster.add)
    worker = await asyncio.to_thread(cluster.add)
    product = product_on(cluster, tmp_path, settings)
    ingress = ingress_on(worker, product, tmp_path)
    try:
        await asyncio.to_thread(product.start)
        await asyncio.to_thread(ingress.start)
        ids = conversations_for(stubs, "anew")
        async with open_traffic(ingress.url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids)
            await asyncio.to_thread(head.cut_power)
            product.kill()
            cut_at = time.monotonic()
            await asyncio.to_thread(worker.cut_power)
            print(await asyncio.to_thread(watch_the_end, ingress, cut_at))
            pending = History.pending(await History.read(postgres.url, stubs, ids))
            assert pending, "nothing was under way"

            await asyncio.to_thread(head.start)
            await asyncio.to_thread(worker.start)
            await asyncio.to_thread(product.start)
            await asyncio.to_thread(ingress.start)
            await sending
            history = await History.when_over(postgres.url, stubs, ids, timeout_seconds=60)
            history.check(traffic.bodies, is_undisturbed=False)
            print(f"{len(pending)} jobs and messages were pending, all done")
    finally:
        ingress.end()
        product.end()
        cluster.close()


def refusal(server: Server) -> tuple[int, float]:
    """Send a message that is to be refused; return the status, and how long that took."""
    started_at = time.monotonic()
    answer = httpx.post(
        f"{server.url}/api/v1/enhanced-handle-message",
        json=message("nobody"),
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        timeout=60,
    )
    return answer.status_code, time.monotonic() - started_at


def watch_the_end(ingress: Server, cut_at: float) -> str:
    process = ingress.process
    assert process is not None
    seen = []
    while process.poll() is None and time.monotonic() - cut_at < 60:
        try:
            health = httpx.get(f"{ingress.url}/health", timeout=20).status_code
            answer = refusal(ingress)
        except httpx.TransportError as error:
            health, answer = type(error).__name__, None
        seen.append((round(time.monotonic() - cut_at, 1), health, answer))
        time.sleep(0.5)
    return f"{seen} ended {process.poll()} after {time.monotonic() - cut_at}"
