"""Ray's head dies, with what it knows kept in a Redis of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.servers import PostgresServer, RedisServer, start_redis
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.ray_nodes import RayCluster
from tests.stack.ray_products import ingress_on, product_on
from tests.stack.server import Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(300)

NOTICE_SECONDS = 30.0


@pytest.fixture(scope="module")
def settings(stubs: Stubs, postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    return settings_of(stubs, postgres, redis) | {"CONVERSATION_HOSTS": "2"}


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
        await asyncio.to_thread(install_audit, postgres.url)
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
            await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)
            print(f"head away: longest wait of a caller {max(traffic.waits):.1f} s", end="; ")

            await asyncio.to_thread(head.start)
            await asyncio.to_thread(product.start)
            back_at = time.monotonic()
            # What needs a head works again: a host that dies is started anew.
            victim = worker.actors("ConversationHost")[0]
            sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
            victim.kill()
            await sending

            async def is_replaced() -> bool:
                return len([it for it in worker.actors("ConversationHost") if it != victim]) == 2

            await wait_for(is_replaced, NOTICE_SECONDS, "the killed host runs again")
            print(f"a killed host replaced {time.monotonic() - back_at:.1f} s after its return")
            await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    finally:
        ingress.end()
        product.end()
        cluster.close()
        knowledge.stop()


@pytest.mark.soak
async def test_a_head_with_hosts_of_its_own_gets_them_again_when_it_comes_back(
    stubs: Stubs,
    postgres: PostgresServer,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    knowledge = start_redis(tmp_path / "knowledge")
    cluster = RayCluster(tmp_path, redis=knowledge)
    head = await asyncio.to_thread(cluster.add)
    worker = await asyncio.to_thread(cluster.add)
    product = product_on(cluster, tmp_path, settings)
    ingress = ingress_on(worker, product, tmp_path)
    try:
        await asyncio.to_thread(product.start)
        await asyncio.to_thread(ingress.start)
        ids = conversations_for(stubs, "heads")
        async with open_traffic(ingress.url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
            await asyncio.to_thread(head.cut_power)
            product.kill()
            await asyncio.to_thread(head.start)
            await asyncio.to_thread(product.start)
            await traffic.send_all([message(it, "welcome back") for it in ids])
            await sending

            async def has_its_hosts() -> bool:
                return len(head.actors("ConversationHost")) == 2

            await wait_for(has_its_hosts, 3 * NOTICE_SECONDS, "the head has its hosts")
            await traffic.check_history(
                postgres, stubs, ids, timeout_seconds=60, is_undisturbed=False
            )
            print(f"head with hosts: longest wait of a caller {max(traffic.waits):.1f} s")
    finally:
        ingress.end()
        product.end()
        cluster.close()
        knowledge.stop()
