"""The lease against a real server: who gets it, who keeps it, and what a retry does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from storage.redis_client import RedisClient
from storage.redis_lease import (
    MOST_RENEWED_AT_ONCE,
    HeldLease,
    LeaseOutcome,
    LeaseRequest,
    MessageLockManager,
    RenewalOutcome,
)
from tests.servers import RedisServer

GRANTED, REFUSED = LeaseOutcome.GRANTED, LeaseOutcome.REFUSED


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    await client.run([("FLUSHALL",)])
    yield client
    await client.close()


def manager(
    client: RedisClient, owner: str = "host-1", ttl_seconds: float = 30.0
) -> MessageLockManager:
    return MessageLockManager(client, owner=owner, cluster=f"of-{owner}", ttl_seconds=ttl_seconds)


async def test_a_free_lease_is_granted_and_a_held_one_refused_with_its_holder(
    client: RedisClient,
) -> None:
    before = time.monotonic()
    (mine,) = await manager(client).acquire([LeaseRequest("c", "l1")])
    (other,) = await manager(client, "host-2").acquire([LeaseRequest("c", "l2")])

    assert mine.outcome is GRANTED
    assert before <= mine.sent_at <= time.monotonic()
    assert other.outcome is REFUSED
    assert (other.owner, other.cluster) == ("host-1", "of-host-1")
    assert 29 < other.remaining_seconds <= 30


async def test_the_key_is_the_conversation_id_as_it_is(client: RedisClient) -> None:
    await manager(client).acquire([LeaseRequest("a {b}:c/ö", "l1")])

    assert await client.run([("EXISTS", "lease:a {b}:c/ö")]) == [1]


async def test_the_same_request_again_is_granted_again(client: RedisClient) -> None:
    locks = manager(client)
    first, again, other = [
        (await locks.acquire([LeaseRequest("c", lock)]))[0].outcome for lock in ("l1", "l1", "l2")
    ]

    assert (first, again, other) == (GRANTED, GRANTED, REFUSED)


async def test_answers_come_in_the_order_of_many_requests(client: RedisClient) -> None:
    await manager(client).acquire([LeaseRequest(f"c{n}", "l") for n in range(0, 2000, 2)])
    answers = await manager(client, "host-2").acquire(
        [LeaseRequest(f"c{n}", "m") for n in range(2000)]
    )

    assert [it.outcome for it in answers] == [REFUSED, GRANTED] * 1000


async def test_of_many_at_once_exactly_one_gets_it(client: RedisClient) -> None:
    racers = [manager(client, f"host-{n}") for n in range(20)]
    answers = await asyncio.gather(
        *(it.acquire([LeaseRequest("c", f"l{n}")]) for n, it in enumerate(racers))
    )

    assert [answer.outcome for (answer,) in answers].count(GRANTED) == 1


async def test_a_lease_of_the_owner_named_dead_is_replaced_and_no_other(
    client: RedisClient,
) -> None:
    await manager(client, "dead").acquire([LeaseRequest("c", "l1"), LeaseRequest("d", "l1")])
    await manager(client, "alive").acquire([LeaseRequest("e", "l1")])
    requests = [
        LeaseRequest("c", "l2", take_over_from="dead"),
        LeaseRequest("d", "l2", take_over_from="somebody"),
        LeaseRequest("e", "l2", take_over_from="dead"),
        LeaseRequest("f", "l2", take_over_from="dead"),
    ]
    answers = await manager(client).acquire(requests)

    assert [it.outcome for it in answers] == [GRANTED, REFUSED, REFUSED, GRANTED]
    assert await manager(client, "dead").renew([HeldLease("c", "l1")]) == [RenewalOutcome.LOST]


async def test_renewal_extends_only_what_is_held_under_the_lock_id(client: RedisClient) -> None:
    short, long = manager(client, ttl_seconds=1), manager(client, ttl_seconds=60)
    await short.acquire([LeaseRequest("c", "l1"), LeaseRequest("d", "l1")])
    outcomes = await long.renew(
        [HeldLease("c", "l1"), HeldLease("d", "other"), HeldLease("gone", "l1")]
    )
    extended, kept, free = await long.inspect(["c", "d", "gone"])

    assert outcomes == [RenewalOutcome.RENEWED, RenewalOutcome.LOST, RenewalOutcome.LOST]
    assert extended is not None
    assert extended.remaining_seconds > 59
    assert kept is not None
    assert kept.remaining_seconds <= 1
    assert free is None


async def test_a_lease_that_is_not_renewed_ends(client: RedisClient) -> None:
    locks = manager(client, ttl_seconds=0.1)
    await locks.acquire([LeaseRequest("c", "l1")])
    other = manager(client, "host-2")
    deadline = time.monotonic() + 5
    while (await other.acquire([LeaseRequest("c", "l2")]))[0].outcome is not GRANTED:
        assert time.monotonic() < deadline

    assert await locks.renew([HeldLease("c", "l1")]) == [RenewalOutcome.LOST]
    assert await locks.release([HeldLease("c", "l1")]) == [RenewalOutcome.LOST]
    assert (await other.inspect(["c"]))[0] is not None


async def test_release_gives_up_only_what_is_held_under_the_lock_id(client: RedisClient) -> None:
    locks = manager(client)
    await locks.acquire([LeaseRequest("c", "l1"), LeaseRequest("d", "l1")])
    outcomes = await locks.release([HeldLease("c", "l1"), HeldLease("d", "other")])

    assert outcomes == [RenewalOutcome.RELEASED, RenewalOutcome.LOST]
    assert [it is None for it in await locks.inspect(["c", "d"])] == [True, False]


async def test_force_release_asks_nobody(client: RedisClient) -> None:
    await manager(client).acquire([LeaseRequest("c", "l1")])
    admin = manager(client, "admin")

    assert await admin.force_release("c") is True
    assert await admin.force_release("c") is False


async def test_a_key_that_is_no_lease_is_unknown_and_harms_no_neighbour(
    client: RedisClient,
) -> None:
    await client.run([("SET", "lease:odd", "x")])
    answers = await manager(client).acquire([LeaseRequest("odd", "l"), LeaseRequest("c", "l")])

    assert [it.outcome for it in answers] == [LeaseOutcome.UNKNOWN, GRANTED]


async def test_nothing_asked_is_nothing_sent(client: RedisClient) -> None:
    locks = manager(client)

    assert await locks.acquire([]) == []
    assert await locks.renew([]) == []
    assert await locks.inspect([]) == []


async def test_what_is_leased_can_be_listed(client: RedisClient) -> None:
    locks = manager(client)
    ids = {f"c{number}" for number in range(1200)}
    await locks.acquire([LeaseRequest(it, "l") for it in ids])
    await client.run([("SET", "state:c1", "x")])

    listed = [it async for page in locks.leased() for it in page]

    assert set(listed) == ids


async def test_many_are_renewed_in_their_order_and_a_strange_key_stops_none(
    client: RedisClient,
) -> None:
    locks = manager(client)
    count = 2 * MOST_RENEWED_AT_ONCE + 7
    leases = [HeldLease(f"c{number}", "l1") for number in range(count)]
    strange, taken = 3, MOST_RENEWED_AT_ONCE + 1
    await locks.acquire([LeaseRequest(it.conversation_id, "l1") for it in leases])
    await client.run([("DEL", "lease:c3"), ("SET", "lease:c3", "a string")])
    await locks.acquire([LeaseRequest(f"c{taken}", "l2", take_over_from="host-1")])

    outcomes = await locks.renew(leases)

    assert outcomes.pop(taken) is RenewalOutcome.LOST
    assert outcomes.pop(strange) is RenewalOutcome.UNKNOWN
    assert outcomes == [RenewalOutcome.RENEWED] * (count - 2)
