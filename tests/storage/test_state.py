"""The cached state against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from storage.records import ContextEntry
from storage.redis_channels import Channels
from storage.redis_client import RedisClient
from storage.redis_lease import (
    HeldLease,
    LeaseOutcome,
    LeaseRequest,
    MessageLockManager,
    RenewalOutcome,
)
from storage.redis_state import LARGEST_INDEX_KEY, CachedState, StateCache, _by_index_key
from storage.redis_store import RedisStore
from storage.settings import load_settings
from tests.servers import RedisServer, start_redis

CONTEXT = [
    ContextEntry(role="user", content="xin chào"),
    ContextEntry(role="assistant", content="hi"),
]
STATE = CachedState(
    conversation_id="c",
    epoch=3,
    position=7,
    last_message_id="m",
    last_message_timestamp=1.5,
    is_running=True,
    waiting=2,
    status="active",
    owner="host-1",
    last_activity_at=time.time(),
    context=CONTEXT,
)


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    await client.run([("FLUSHALL",)])
    yield client
    await client.close()


@pytest.fixture
def states(client: RedisClient) -> StateCache:
    return StateCache(client, ttl_seconds=3600)


async def test_what_is_written_is_read_and_the_context_only_on_request(states: StateCache) -> None:
    await states.write([STATE, replace(STATE, conversation_id="d", context=None)])
    (short,) = await states.read(["c"])
    full, other, missing = await states.read(["c", "d", "e"], with_context=True)

    assert short == replace(STATE, context=None)
    assert full == STATE
    assert other == replace(STATE, conversation_id="d", context=None)
    assert missing is None


async def test_nothing_is_known_of_a_last_message_that_there_is_not(states: StateCache) -> None:
    bare = replace(STATE, last_message_id=None, last_message_timestamp=None, context=None)
    await states.write([bare])

    assert await states.read(["c"], with_context=True) == [bare]


@pytest.mark.parametrize(
    ("epoch", "position", "wins"),
    [(2, 9, False), (3, 6, False), (3, 7, True), (3, 8, True), (4, 1, True)],
)
async def test_a_former_owner_does_not_overwrite_a_later_one(
    states: StateCache, epoch: int, position: int, wins: bool
) -> None:
    await states.write([STATE])
    await states.write([replace(STATE, epoch=epoch, position=position, owner="late")])
    (found,) = await states.read(["c"])

    assert found is not None
    assert (found.owner == "late") is wins


async def test_a_context_stays_only_while_its_position_is_the_same(states: StateCache) -> None:
    await states.write([STATE])
    await states.write([replace(STATE, is_running=False, context=None)])
    (same,) = await states.read(["c"], with_context=True)
    await states.write([replace(STATE, position=8, context=None)])
    (moved,) = await states.read(["c"], with_context=True)

    assert same == replace(STATE, is_running=False)
    assert moved == replace(STATE, position=8, context=None)


async def test_states_end_with_their_time(client: RedisClient) -> None:
    await StateCache(client, ttl_seconds=100).write([STATE])
    reply = await client.run([("TTL", "state:c")])

    assert reply is not None
    assert 90 < reply[0] <= 100


async def test_the_index_lists_the_last_active_first_and_forgets_the_old(
    client: RedisClient, states: StateCache
) -> None:
    (key,) = _by_index_key(["c0"])
    await client.run([("ZADD", key, time.time() - 3_700, "old")])
    # The clocks of their owners are an hour off, in both directions.
    for number, hours in enumerate((1, -1, 0)):
        written_at = time.time() + hours * 3_600
        state = replace(STATE, conversation_id=f"c{number}", last_activity_at=written_at)
        await states.write([state])
    recent = await states.recent(1000)

    assert [conversation_id for conversation_id, _ in recent] == ["c2", "c1", "c0"]
    assert recent[0][1] == pytest.approx(time.time(), abs=60)
    assert len(await states.recent(2)) == 2


async def test_an_index_key_is_bounded(client: RedisClient, states: StateCache) -> None:
    (key,) = _by_index_key([STATE.conversation_id])
    crowd = [part for n in range(LARGEST_INDEX_KEY + 50) for part in (time.time(), f"x{n}")]
    await client.run([("ZADD", key, *crowd)])
    await states.write([replace(STATE, last_activity_at=time.time() + 1)])

    assert await client.run([("ZCARD", key)]) == [LARGEST_INDEX_KEY]


async def test_deleting_forgets_the_state_and_its_place_in_the_index(states: StateCache) -> None:
    await states.write([STATE, replace(STATE, conversation_id="d")])

    assert await states.delete(["c", "gone"]) == 1
    assert await states.read(["c"]) == [None]
    assert [conversation_id for conversation_id, _ in await states.recent(10)] == ["d"]


async def test_what_is_no_state_reads_as_none(client: RedisClient, states: StateCache) -> None:
    await client.run(
        [
            ("SET", "state:text", "x"),
            ("HSET", "state:partial", "epoch", "1"),
            ("HSET", "state:odd", "epoch", "one", "position", "2"),
        ]
    )
    await states.write([STATE])
    await client.run([("HSET", "state:c", "context", b"\xc1")])

    assert await states.read(["text", "partial", "odd", "c"], with_context=True) == [None] * 4


async def test_while_redis_is_away_reads_are_none_and_writes_are_counted(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    client = RedisClient(server.url, socket_timeout_seconds=1)
    states = StateCache(client, ttl_seconds=60)
    await states.write([STATE])
    server.kill()
    with structlog.testing.capture_logs() as logs:
        await states.write([STATE] * 3)
        await states.write([STATE] * 2)
        assert await states.read(["c", "d"]) == [None, None]
        assert await states.delete(["c"]) == 0
        assert await states.recent(5) == []
    await client.close()

    assert states.dropped_writes == 5
    assert [it["event"] for it in logs] == ["Redis connection failed, using fallback"]
    assert logs[0]["log_level"] == "warning"


async def test_an_activation_takes_the_lease_and_brings_the_context(
    client: RedisClient, states: StateCache
) -> None:
    locks = MessageLockManager(client, owner="host-1", cluster="k", ttl_seconds=30)
    store = RedisStore(client, locks, states, Channels(client, is_cluster=False))
    await states.write([STATE])
    requests = [LeaseRequest("c", "l"), LeaseRequest("d", "l")]
    (known, known_state), (new, no_state) = await store.activate(requests)

    assert (known.outcome, new.outcome) == (LeaseOutcome.GRANTED,) * 2
    assert (known_state, no_state) == (STATE, None)
    assert await store.activate([]) == []


async def test_statistics_have_the_documented_names(redis_server: RedisServer) -> None:
    store = RedisStore.open(load_settings(redis_url=redis_server.url), "host-1")
    assert store is not None
    found = await store.statistics()
    await store.close()

    assert found is not None
    assert set(found) == {
        "connected_clients",
        "used_memory_human",
        "keyspace_hits",
        "keyspace_misses",
    }
    assert str(found["used_memory_human"])[-1] in "KMG"


def test_without_an_address_there_is_no_store() -> None:
    assert RedisStore.open(load_settings(), "host-1") is None


async def test_away_an_activation_is_unknown_and_statistics_are_none(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    server.kill()
    store = RedisStore.open(load_settings(redis_url=server.url), "host-1")
    assert store is not None
    ((answer, state),) = await store.activate([LeaseRequest("c", "l")])

    assert answer.outcome is LeaseOutcome.UNKNOWN
    assert state is None
    assert await store.statistics() is None
    await store.close()


@pytest.fixture
async def cluster_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """One node that has all slots: enough to hold every command against a cluster's rules."""
    server = start_redis(tmp_path, extra="cluster-enabled yes")
    client = RedisClient(server.url)
    await client.run([("CLUSTER", "ADDSLOTSRANGE", 0, 16383)])
    async with asyncio.timeout(20):
        while (await client.run([("SET", "ready", 1)])) is None:
            await client.wait_until_connected()
    await client.close()
    yield server
    server.kill()


# redis-py leaves its connections to a node that died to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_all_of_it_works_on_a_redis_cluster(cluster_server: RedisServer) -> None:
    settings = load_settings(redis_url=cluster_server.url, redis_cluster=True)
    store = RedisStore.open(settings, "host-1")
    assert store is not None
    requests = [LeaseRequest(f"c{n}", "l") for n in range(100)]
    first = await store.activate(requests)
    await store.states.write([replace(STATE, conversation_id=f"c{n}") for n in range(100)])
    second = await store.activate(requests)
    renewed = await store.locks.renew([HeldLease(f"c{n}", "l") for n in range(100)])
    statistics = await store.statistics()

    assert {answer.outcome for answer, _ in first + second} == {LeaseOutcome.GRANTED}
    assert set(renewed) == {RenewalOutcome.RENEWED}
    assert [state.context for _, state in second if state] == [CONTEXT] * 100
    assert len(await store.states.recent(100)) == 100
    assert statistics is not None
    cluster_server.kill()
    ((answer, _),) = await store.activate(requests[:1])
    assert answer.outcome is LeaseOutcome.UNKNOWN
    await store.close()
