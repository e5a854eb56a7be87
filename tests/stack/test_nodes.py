"""Machines join a cluster under load, and leave it: in order, or from one moment to the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, start_redis
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.ray_nodes import RayCluster
from tests.stack.ray_products import product_on
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(300)

JOIN_SECONDS = 90.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A cluster of one machine, the head."""
    running = RayCluster(tmp_path_factory.mktemp("nodes-ray"))
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
    """The product on that cluster, with one host for each machine."""
    redis = start_redis(tmp_path_factory.mktemp("nodes-redis"))
    settings = settings_of(stubs, postgres, redis) | {"CONVERSATION_HOSTS": "1"}
    running = product_on(cluster, tmp_path_factory.mktemp("nodes"), settings).start()
    install_audit(postgres.url)
    yield running
    running.close()
    redis.stop()


async def shards(server: Server) -> dict[str, int]:
    """Return how many shards each host serves, of those that serve any."""
    async with server.client(ADMIN_TOKEN) as admin:
        actors = (await admin.get("/api/v1/admin/stats")).json()["actors"]
    hosts = [it for it in actors if it["kind"] == "ConversationHost"]
    return {it["name"]: it["shards"] for it in hosts if it["shards"]}


async def hosts_become(server: Server, count: int, timeout_seconds: float = JOIN_SECONDS) -> None:
    """Wait until so many hosts share all shards."""

    async def shared() -> bool:
        found = await shards(server)
        return len(found) == count

    await wait_for(shared, timeout_seconds, f"{count} hosts serve")


async def owners(server: Server, ids: list[str]) -> set[str]:
    """Return the hosts that worked on the conversations last."""
    async with server.client(ADMIN_TOKEN) as admin:
        found = [(await admin.get(f"/api/v1/admin/conversations/{it}")).json() for it in ids]
    return {it["owner"].partition("#")[0] for it in found if it["owner"]}


async def test_a_node_added_under_load_takes_its_share_and_no_turn_is_done_twice(
    server: Server, cluster: RayCluster, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "added")
    async with open_traffic(server.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        await asyncio.to_thread(cluster.add)
        while len(await shards(server)) < 2:
            await traffic.send_all([message(it, "while it joins") for it in ids])
        await traffic.send_all([message(it, "when it is there") for it in ids])
        await sending
        await traffic.send_all([message(it, "once more") for it in ids])

        await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)
        assert not traffic.refusals
        assert not traffic.broken
        assert "processing" not in traffic.statuses()
        assert len(await owners(server, ids)) == 2
        print(f"node added: {len(traffic.bodies)} messages", end="; ")
        print(f"longest wait of a caller {max(traffic.waits):.1f} s")


async def test_a_node_that_is_drained_under_load_hands_over_what_it_has(
    server: Server, cluster: RayCluster, stubs: Stubs, postgres: PostgresServer
) -> None:
    await hosts_become(server, 2)
    leaving = cluster.machines[1]
    ids = conversations_for(stubs, "drained")
    async with open_traffic(server.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        assert len(await owners(server, ids)) == 2
        await asyncio.to_thread(cluster.drain, leaving)
        await hosts_become(server, 1)
        await traffic.send_all([message(it, "while it leaves") for it in ids])
        await sending

        async def has_nothing_left() -> bool:
            async with server.client(ADMIN_TOKEN) as admin:
                actors = (await admin.get("/api/v1/admin/stats")).json()["actors"]
            hosts = [it for it in actors if it.get("shards") == 0]
            return all(it["conversations"] == 0 for it in hosts)

        await wait_for(has_nothing_left, 30, "the drained host has given all up")
        await asyncio.to_thread(leaving.shut_down)
        await traffic.send_all([message(it, "when it is gone") for it in ids])

        await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)
        assert not traffic.refusals
        assert not traffic.broken
        assert "processing" not in traffic.statuses()
        assert await owners(server, ids) == {"host-0"}
        print(f"node drained: longest wait of a caller {max(traffic.waits):.1f} s")


async def test_a_node_that_dies_under_load_costs_nobody_a_message(
    server: Server, cluster: RayCluster, stubs: Stubs, postgres: PostgresServer
) -> None:
    dying = await asyncio.to_thread(cluster.add)
    await hosts_become(server, 2)
    ids = conversations_for(stubs, "dying")
    async with open_traffic(server.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
        assert len(await owners(server, ids)) == 2
        await asyncio.to_thread(dying.cut_power)
        died_at = time.monotonic()
        await sending
        await hosts_become(server, 1)
        gone_after = time.monotonic() - died_at
        await traffic.send_all([message(it, "when it is gone") for it in ids])

        await traffic.check_history(postgres, stubs, ids, timeout_seconds=60, is_undisturbed=False)
        assert "processing" not in traffic.statuses()
        assert await owners(server, ids) == {"host-0"}
        print(f"node dead: out of the table after {gone_after:.1f} s at most", end="; ")
        print(f"longest wait of a caller {max(traffic.waits):.1f} s")
