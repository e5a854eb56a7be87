"""Ten times the load that there is room for: refused before it is stored, or answered.

The limits are small here, so that a few hundred messages are too many.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from storage.postgres import Database
from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import ENHANCED, asked_ai, detail, message
from tests.stack.bots import put_bots_of
from tests.stack.conftest import settings_of
from tests.stack.history import History
from tests.stack.processes import memory_of
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import open_traffic

pytestmark = pytest.mark.timeout(240)

HOST_MAX_BUSY = 15
OFFERED = 20 * HOST_MAX_BUSY
"""Conversations that all say something at once; two hosts have room for a tenth of them."""
AI_SECONDS = 0.5
MOST_GROWTH_BYTES = 200 << 20
"""Of one process, under a flood of messages all of which it may know nothing about."""

BOTS: dict[str, dict[str, Any]] = {
    "queue": {"name": "One by one", "busy_policy": "queue"},
    "slow": {"name": "Slow", "ai_core": {"path": "/process/slow"}},
}


@pytest.fixture(scope="module")
def small(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of our own that has room for little."""
    settings = settings_of(stubs, postgres, redis) | {"HOST_MAX_BUSY": str(HOST_MAX_BUSY)}
    server = Server(tmp_path_factory.mktemp("overload"), **settings).start()
    put_bots_of(server, stubs, BOTS)
    yield server
    server.close()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    opened = await Database.connect(postgres.url, max_connections=2)
    yield opened
    await opened.close()


async def stored(database: Database, message_ids: list[str]) -> set[str]:
    """Return those of the messages that are in the database."""
    rows = await database.fetch(
        "select message_id from messages where message_id = any($1::text[])", message_ids
    )
    return {row["message_id"] for row in rows}


async def test_ten_times_the_load_is_refused_before_it_is_stored_or_answered(
    small: Server, stubs: Stubs, postgres: PostgresServer, database: Database
) -> None:
    run = uuid.uuid4().hex[:8]
    crowd = [f"crowd_{run}_{number}" for number in range(OFFERED)]
    hot = f"hot_{run}"
    for conversation_id in (*crowd, hot):
        stubs.delay(conversation_id, AI_SECONDS)
    before = memory_of(small)
    async with open_traffic(small.url, 300) as traffic, small.client(ADMIN_TOKEN) as admin:
        bodies = [it for name in crowd for it in (message(name), message(hot, f"of {name}"))]
        sending = asyncio.create_task(traffic.send_all_once(bodies))
        while not sending.done():  # an operator is let in all the same
            assert (await admin.get("/health")).status_code == 200
            assert (await admin.get("/api/v1/admin/conversations?limit=5")).status_code == 200
            await asyncio.wait([sending], timeout=0.5)
        await sending

        refused = traffic.refused
        assert {it.code for it in refused.values()} == {"overloaded"}
        assert not await stored(database, list(refused)), "refused and stored all the same"
        taken = len(traffic.bodies)
        assert taken + len(refused) == len(bodies)
        crowd_taken = sum(it["conversation_id"] != hot for it in traffic.bodies.values())
        assert 0 < crowd_taken < OFFERED / 2, f"{crowd_taken} of {OFFERED} taken"

        # What was refused is taken later, under the same ids.
        again = [it for it in bodies if it["message_id"] in refused][:20]
        await traffic.send_all(again)
        history = await History.when_over(postgres.url, stubs, [*crowd, hot], 60)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert {it["message_id"] for it in again} <= set(traffic.bodies)
    growth = {pid: size - before.get(pid, size) for pid, size in memory_of(small).items()}
    assert max(growth.values()) < MOST_GROWTH_BYTES, growth
    quickest = sorted(it.ended_at - it.started_at for it in refused.values())
    print(f"{len(bodies)} offered, {taken} taken ({crowd_taken} of the crowd),", end=" ")
    print(f"{len(refused)} refused (median {quickest[len(quickest) // 2] * 1000:.0f} ms);", end=" ")
    print(f"memory grew by at most {max(growth.values()) >> 20} MiB a process")


async def test_a_hot_conversation_has_nobody_else_refused_and_slows_nobody(
    small: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    run = uuid.uuid4().hex[:8]
    hot = f"hot_{run}"
    idle, busy = ([f"{name}_{run}_{number}" for number in range(5)] for name in ("idle", "busy"))
    async with open_traffic(small.url) as traffic, small.client(ADMIN_TOKEN) as admin:
        for name in idle:
            await traffic.send(message(name))
        slowest_when_idle = max(traffic.waits)

        release = stubs.hold(hot)
        first = asyncio.create_task(traffic.send_once(message(hot, "first")))
        await asked_ai(stubs, hot)
        texts = [message(hot, f"text {number}") for number in range(1_000)]
        flooding = asyncio.create_task(traffic.send_all_once(texts))
        traffic.waits.clear()
        for name in busy:
            await traffic.send(message(name))
        assert not flooding.done(), "the flood was over too soon"
        slowest_beside_it = max(traffic.waits)
        await flooding
        waiting = (await detail(admin, hot))["waiting_messages"]
        host = await hottest(small)
        release()
        await first
        history = await History.when_over(postgres.url, stubs, [hot, *idle, *busy], 60)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert not traffic.refusals
    assert waiting >= 1_000, "the excess waits in the database"
    assert host <= 200, "more is in memory than a mailbox holds"
    print(f"slowest answer {slowest_when_idle:.2f} s when idle, {slowest_beside_it:.2f} s beside")
    assert slowest_beside_it < slowest_when_idle + 5


async def hottest(server: Server) -> int:
    """Return the most messages that wait in the memory of a host."""
    async with server.client(ADMIN_TOKEN) as admin:
        stats = (await admin.get("/api/v1/admin/stats")).json()
    return max(int(it.get("waiting_messages", 0)) for it in stats["actors"])


async def test_a_slow_ai_has_its_own_bot_refused_and_no_other(
    small: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    run = uuid.uuid4().hex[:8]
    slow = [f"slow_{run}_{number}" for number in range(4 * HOST_MAX_BUSY)]
    others = [f"other_{run}_{number}" for number in range(10)]
    releases = [stubs.hold(name) for name in slow]
    async with open_traffic(small.url, 100) as traffic:
        metadata = {"bot_id": "slow"}
        sending = asyncio.create_task(
            traffic.send_all_once([message(name, metadata=metadata) for name in slow])
        )

        async def is_too_much() -> bool:
            return len(traffic.refused) > HOST_MAX_BUSY

        await wait_for(is_too_much, 30, "the slow bot's messages are refused")
        said = [await traffic.send(message(name)) for name in others]
        assert not sending.done()
        refused = {it.conversation_id for it in traffic.refused.values()}
        for release in releases:
            release()
        await sending
        history = await History.when_over(postgres.url, stubs, slow + others, 60)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert [it["status"] for it in said] == ["completed"] * len(others)
    assert refused <= set(slow)
    assert not {it.conversation_id for it in traffic.refused.values()} & set(others)


async def test_each_message_of_a_hot_queue_is_answered_in_order_beside_the_others(
    small: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    hot = f"queue_{uuid.uuid4().hex}"
    stubs.delay(hot, 0.0)
    async with open_traffic(small.url) as traffic:
        metadata = {"bot_id": "queue"}
        bodies = [message(hot, f"text {number}", metadata=metadata) for number in range(260)]
        await traffic.send_all_once(bodies)
        beside = await traffic.send(message(f"beside_{hot}"))
        history = await History.when_over(postgres.url, stubs, [hot, f"beside_{hot}"], 90)
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert not traffic.refusals
    assert beside["status"] == "completed"
    assert len(stubs.ai_calls(hot)) == len(bodies), "more than fits into the mailbox, one by one"


async def test_a_row_that_somebody_keeps_locked_holds_up_its_own_conversation_only(
    small: Server, stubs: Stubs, postgres: PostgresServer, database: Database
) -> None:
    run = uuid.uuid4().hex[:8]
    held, working = f"held_{run}", f"working_{run}"
    others = [f"other_{run}_{number}" for number in range(5)]
    sql = "select 1 from conversations where conversation_id = any($1::text[]) for update"
    async with open_traffic(small.url) as traffic:
        await traffic.send(message(held))
        release = stubs.hold(working)
        turn = asyncio.create_task(traffic.send(message(working)))
        await asked_ai(stubs, working)
        async with database.transaction() as session:
            assert len(await session.fetch(sql, [held, working])) == 2
            release()  # the turn is to be committed now, and cannot be
            assert await traffic.send_once(message(held, "while it is locked")) is None
            (refused,) = traffic.refused.values()
            assert refused.code == "storage_unavailable"
            # From now on it is known, and neighbours are not made to wait.
            started_at = time.monotonic()
            await traffic.send_all([message(name, str(n)) for n in range(3) for name in others])
            beside = time.monotonic() - started_at
            assert not turn.done()
            assert not stubs.deliveries(working), "delivered before it was committed"
        assert (await turn)["status"] == "completed"
        again = await traffic.send(message(held, "now it is free"))
        assert again["status"] == "completed"
        history = await History.when_over(postgres.url, stubs, [held, working, *others])
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
    assert len(traffic.refusals) == 1
    print(f"beside locked rows: {3 * len(others)} messages in {beside:.2f} s")


async def test_a_refused_duplicate_of_a_stored_message_is_still_its_duplicate_later(
    small: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    run = uuid.uuid4().hex[:8]
    first = message(f"first_{run}")
    crowd = [f"again_{run}_{number}" for number in range(OFFERED)]
    async with open_traffic(small.url, 300) as traffic, small.client() as client:
        await traffic.send(first)
        for name in crowd:
            stubs.delay(name, AI_SECONDS)
        sending = asyncio.create_task(traffic.send_all_once([message(name) for name in crowd]))

        async def is_refused() -> bool:
            response = await client.post(ENHANCED, json=first)
            return response.status_code == 503 or sending.done()

        await wait_for(is_refused, 30, "the duplicate is refused")
        await sending
        result = await traffic.send(first)
        history = await History.when_over(postgres.url, stubs, [f"first_{run}", *crowd], 60)
    assert result["duplicate"] is True
    assert result["status"] == "completed"
    history.check(traffic.bodies, is_undisturbed=True, requests=traffic.requests)
