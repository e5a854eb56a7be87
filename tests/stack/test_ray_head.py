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
from tests.stack.ask import ENHANCED, message
from tests.stack.conftest import settings_of
from tests.stack.history import History
from tests.stack.ray_nodes import Machine, RayCluster
from tests.stack.server import MESSAGES_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(300)

NOTICE_SECONDS = 30.0
END_SECONDS = 30.0
REFUSAL_SECONDS = 20.0
PATIENCE_SECONDS = 15
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


def refuse_until_the_end(ingress: Server) -> tuple[list[int], float]:
    """Ask an instance whose Ray is gone until it ends; return its healths, and the longest wait.

    No message may be taken any more, and nobody may be kept waiting.
    """
    process = ingress.process
    assert process is not None
    healths: list[int] = []
    longest = 0.0
    end = time.monotonic() + PATIENCE_SECONDS + END_SECONDS
    with httpx.Client(
        base_url=ingress.url,
        headers={"Authorization": f"Bearer {MESSAGES_TOKEN}"},
        timeout=REFUSAL_SECONDS,
    ) as client:
        while process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            started_at = time.monotonic()
            try:
                refused = client.post(ENHANCED, json=message("nobody"))
                assert refused.status_code == 503, refused.text
                assert "Retry-After" in refused.headers
                longest = max(longest, time.monotonic() - started_at)
                healths.append(client.get("/health").status_code)
            except httpx.TransportError:
                process.wait(END_SECONDS)  # it ended while it was asked
    return healths, longest


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
            healths, longest = await asyncio.to_thread(refuse_until_the_end, ingress)
            assert 503 in healths
            print(f"refused after {longest:.1f} s at most", end=", ")
            print(f"ended {time.monotonic() - cut_at:.1f} s after Ray", end="; ")
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
