"""The way to Redis breaks: for one host alone, or by being slow. See also ``test_outages``."""

from __future__ import annotations

import asyncio
import time
from statistics import mean

import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.health import health_becomes
from tests.stack.processes import busiest_host
from tests.stack.proxy import Proxy
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, conversations_for, in_the_middle

pytestmark = pytest.mark.timeout(180)

LATENCY_SECONDS = 2.0
MOST_CLAIMS = 1.5
"""Of a conversation, on average. Where owners fence each other it is one in each lease time."""


@pytest.fixture(scope="module")
def own_settings(way_to_redis: Proxy) -> dict[str, str]:
    return {"REDIS_URL": way_to_redis.url}


@pytest.mark.soak  # two lease times long: 30 s
async def test_a_host_cut_off_from_redis_alone_goes_on_and_so_do_the_others(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_redis: Proxy
) -> None:
    ids = conversations_for(stubs, "alone")
    sending = await in_the_middle(traffic, stubs, ids)
    alone = busiest_host(victim, stubs.url)
    with way_to_redis.black_hole(alone):
        degraded_after = await health_becomes(victim, "degraded", 10)
        fresh = conversations_for(stubs, "fresh")
        began_at = time.monotonic()
        while time.monotonic() < began_at + 2 * LEASE_SECONDS:
            await traffic.send_all([message(it, "and now?") for it in ids + fresh])
        await sending
    healthy_after = await health_becomes(victim, "healthy", 3 * LEASE_SECONDS + 10)
    await traffic.send_all([message(it, "and then?") for it in ids + fresh])
    history = await traffic.check_history(postgres, stubs, ids + fresh, is_undisturbed=False)
    claims = mean(story.epoch for story in history.stories.values())
    print(f"one host without Redis: degraded after {degraded_after:.1f} s,", end=" ")
    print(f"healthy {healthy_after:.1f} s after; {claims:.2f} claims of a conversation")
    assert not traffic.refusals
    assert claims <= MOST_CLAIMS, "they fence each other"


async def test_a_redis_two_seconds_away_is_as_good_as_none(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_redis: Proxy
) -> None:
    ids = conversations_for(stubs, "latency")
    sending = await in_the_middle(traffic, stubs, ids)
    with way_to_redis.latency(LATENCY_SECONDS):
        degraded_after = await health_becomes(victim, "degraded", 10)
        fresh = conversations_for(stubs, "fresh")
        await sending
        traffic.waits.clear()
        await traffic.send_all([message(it, "and now?") for it in ids + fresh])
        longest_wait = max(traffic.waits)
    healthy_after = await health_becomes(victim, "healthy", 3 * LEASE_SECONDS + 10)
    await traffic.send_all([message(it, "and then?") for it in ids + fresh])
    history = await traffic.check_history(postgres, stubs, ids + fresh, is_undisturbed=False)
    claims = mean(story.epoch for story in history.stories.values())
    print(f"slow Redis: degraded after {degraded_after:.1f} s, longest wait {longest_wait:.1f} s,")
    print(f"healthy {healthy_after:.1f} s after; {claims:.2f} claims of a conversation")
    assert not traffic.refusals
    assert claims <= MOST_CLAIMS


async def test_connections_to_redis_that_are_cut_again_and_again_cost_nobody_a_message(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_redis: Proxy
) -> None:
    ids = conversations_for(stubs, "flapping")
    sending = await in_the_middle(traffic, stubs, ids)
    for _ in range(3):
        way_to_redis.cut()
        await asyncio.sleep(LEASE_SECONDS / 3)
    await sending
    await health_becomes(victim, "healthy", 3 * LEASE_SECONDS + 10)
    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    assert not traffic.refusals
