"""Leases, cached states and channels on a Redis Cluster of three nodes, one of which dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from storage.redis_channels import Channels
from storage.redis_client import RedisClient
from storage.redis_lease import HeldLease, LeaseOutcome, LeaseRequest, RenewalOutcome
from storage.redis_store import RedisStore
from storage.settings import Settings, load_settings
from tests.servers import RedisServer
from tests.storage.redis_cluster import redis_cluster
from tests.storage.test_channels import listening, until
from tests.storage.test_state import CONTEXT, STATE

# redis-py leaves its connections to a node that died to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

COUNT = 300
BACK_SECONDS = 60


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[list[RedisServer]]:
    async with redis_cluster(tmp_path) as servers:
        yield servers


@pytest.fixture
def settings(servers: list[RedisServer]) -> Settings:
    """They name one node: the client finds the others."""
    return load_settings(redis_url=servers[0].url, redis_cluster=True)


def requests(lock_id: str = "l") -> list[LeaseRequest]:
    return [LeaseRequest(f"c{number}", lock_id) for number in range(COUNT)]


def opened(settings: Settings, owner: str) -> RedisStore:
    store = RedisStore.open(settings, owner)
    assert store is not None
    return store


async def outcomes(store: RedisStore, lock_id: str = "l") -> set[LeaseOutcome]:
    return {answer.outcome for answer, _ in await store.activate(requests(lock_id))}


async def keys_of(server: RedisServer) -> int:
    client = RedisClient(server.url)
    (count,) = await client.run([("DBSIZE",)]) or [0]
    await client.close()
    return int(count)


async def test_leases_and_states_are_spread_over_all_nodes(
    servers: list[RedisServer], settings: Settings
) -> None:
    mine, other = opened(settings, "host-1"), opened(settings, "host-2")
    try:
        assert await outcomes(mine) == {LeaseOutcome.GRANTED}
        assert await outcomes(other, "another") == {LeaseOutcome.REFUSED}
        assert await outcomes(mine) == {LeaseOutcome.GRANTED}
        held = [HeldLease(it.conversation_id, "l") for it in requests()]
        assert set(await mine.locks.renew(held)) == {RenewalOutcome.RENEWED}
        await mine.states.write([replace(STATE, conversation_id=f"c{n}") for n in range(COUNT)])
        again = await mine.activate(requests())
        assert [state.context for _, state in again if state] == [CONTEXT] * COUNT
        assert len(await mine.states.recent(COUNT)) == COUNT
        assert await mine.statistics() is not None
        assert min([await keys_of(server) for server in servers]) > COUNT / 5
    finally:
        await mine.close()
        await other.close()


async def test_a_node_that_dies_grants_nothing_twice_and_is_used_again_when_it_is_back(
    servers: list[RedisServer], settings: Settings
) -> None:
    mine, other = opened(settings, "host-1"), opened(settings, "host-2")
    try:
        assert await outcomes(mine) == {LeaseOutcome.GRANTED}
        servers[2].kill()
        assert LeaseOutcome.UNKNOWN in await outcomes(mine)
        assert LeaseOutcome.GRANTED not in await outcomes(other, "another")
        await asyncio.to_thread(servers[2].start)  # empty, and with the slots that it had
        async with asyncio.timeout(BACK_SECONDS):
            while await outcomes(mine) != {LeaseOutcome.GRANTED}:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.2)
        assert await outcomes(other, "another") == {LeaseOutcome.REFUSED}
    finally:
        await mine.close()
        await other.close()


async def test_what_is_told_over_one_node_is_heard_over_another(
    servers: list[RedisServer], settings: Settings
) -> None:
    heard: list[bytes] = []
    client = RedisClient.from_settings(settings)
    assert client is not None
    async with AsyncExitStack() as stack:
        for server in servers:
            over = load_settings(redis_url=server.url, redis_cluster=True)
            await stack.enter_async_context(listening(over, "here", heard.append))
        assert await Channels(client, is_cluster=True).publish([("here", b"1"), ("here", b"2")])
        await until(lambda: sorted(heard) == [b"1"] * 3 + [b"2"] * 3)
    await client.close()
