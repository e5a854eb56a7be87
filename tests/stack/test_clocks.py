"""The wall clocks of the processes are up to an hour off, in both directions: nobody notices.

Leases count on clocks that do not jump, and on Redis; everything else on the database's clock.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from storage.postgres import Database
from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import chat, final_job, message
from tests.stack.conftest import LEASE_SECONDS, settings_of
from tests.stack.fault_points.control import FaultPoints
from tests.stack.history import History
from tests.stack.processes import busiest_host, kill_actor
from tests.stack.server import Server
from tests.stack.sleepers import sleep_during
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(240)

HOUR = 3600.0
CLOCKS = {
    "host-0": HOUR,
    "host-1": -HOUR,
    "ingress": HOUR / 2,
    "Supervisor": -HOUR / 2,
    "StorageWriter": HOUR,
}
SETTLED_SECONDS = 40.0


@pytest.fixture(scope="module")
def off(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of our own in which no two kinds of processes agree on the time."""
    points = FaultPoints(tmp_path_factory.mktemp("clocks") / "points", clocks=CLOCKS)
    settings = settings_of(stubs, postgres, redis) | points.environment
    server = Server(tmp_path_factory.mktemp("clocks-server"), **settings).start()
    yield server
    server.close()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    opened = await Database.connect(postgres.url, max_connections=1)
    yield opened
    await opened.close()


async def test_hosts_an_hour_apart_answer_everything_once(
    off: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "apart")
    async with open_traffic(off.url, concurrency=200) as traffic:
        started_at = time.monotonic()
        sending = await in_the_middle(traffic, stubs, ids)
        await sending
        await traffic.send_all([message(it, "and more") for it in ids])
        history = await History.when_over(postgres.url, stubs, ids, SETTLED_SECONDS)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    said = [float(it.body["timestamp"]) for name in ids for it in stubs.deliveries(name)]
    assert max(said) - min(said) > HOUR, "the clocks of the hosts agree"
    assert not traffic.refusals
    assert "processing" not in traffic.statuses()
    print(f"an hour apart: {len(traffic.bodies)} answered in {time.monotonic() - started_at:.1f} s")


async def test_a_host_takes_over_from_one_whose_clock_is_two_hours_away(
    off: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "over")
    async with open_traffic(off.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        sleeper = busiest_host(off, stubs.url)
        waited = await sleep_during(sleeper, sending, 2 * LEASE_SECONDS)
        await traffic.send_all([message(it, "good morning") for it in ids])
        history = await History.when_over(postgres.url, stubs, ids, SETTLED_SECONDS)
    history.check(
        traffic.bodies, is_undisturbed=False, requests=traffic.requests, calls_may_overlap=True
    )
    print(f"taken over in {waited:.1f} s")
    assert waited < SETTLED_SECONDS, "waited for an hour to pass on some clock"


async def test_retries_are_made_when_they_are_due_and_not_an_hour_later(
    off: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "retry")[:10]
    for conversation_id in ids:
        stubs.delay(conversation_id, 0.01)
        stubs.plan_platform(conversation_id, 503, 503, 503)
    async with open_traffic(off.url) as traffic:
        await traffic.send_all([message(it) for it in ids])
        # Who takes over knows the time of the next attempt from the database only.
        kill_actor(off, "ConversationHost")
        history = await History.when_over(postgres.url, stubs, ids, SETTLED_SECONDS)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    assert {it["delivery_status"] for jobs in history.jobs.values() for it in jobs} == {"sent"}


async def test_without_redis_leases_in_the_database_hold_and_lapse_as_they_should(
    off: Server, stubs: Stubs, postgres: PostgresServer, redis: RedisServer
) -> None:
    ids = conversations_for(stubs, "rows")
    async with open_traffic(off.url, concurrency=200) as traffic:
        await asyncio.to_thread(redis.kill)
        try:
            sending = await in_the_middle(traffic, stubs, ids)
            await sending
            sending = await in_the_middle(traffic, stubs, ids)
            busiest_host(off, stubs.url).kill()
            await sending
            history = await History.when_over(postgres.url, stubs, ids, SETTLED_SECONDS)
        finally:
            await asyncio.to_thread(redis.start)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)


async def test_what_brings_no_time_is_given_the_databases(
    off: Server, stubs: Stubs, database: Database
) -> None:
    conversation_id = f"chat_{uuid.uuid4().hex}"
    async with off.client() as client:
        answer = await chat(client, "<USER>Hello</USER><br>", conversation_id=conversation_id)
        await final_job(client, answer["ai_job_id"])
    (row,) = await database.fetch(
        'select "timestamp", extract(epoch from accepted_at)::double precision as accepted_at'
        " from messages where conversation_id = $1 and sender_type = 'user'",
        conversation_id,
    )
    assert row["timestamp"] == row["accepted_at"]
    (call,) = stubs.ai_calls(conversation_id)
    assert call.body["messages"][0]["timestamp"] == row["timestamp"]
