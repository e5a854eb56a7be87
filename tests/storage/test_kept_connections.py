"""Connections that stay taken between statements: used again, given up when broken, handed on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from storage import kept_connections
from storage.postgres import Database, DatabaseUnavailable
from tests.storage.conftest import run

PID = "select pg_backend_pid()"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await Database.connect(database_url, max_connections=2, acquire_timeout_seconds=5)
    yield found
    async with asyncio.timeout(10):
        await found.close()


async def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def pid_of(database: Database) -> int:
    row = await database.fetch_one(PID)
    assert row is not None
    return int(row[0])


async def test_one_statement_after_the_other_uses_one_connection(database: Database) -> None:
    pids = {await pid_of(database) for _ in range(5)}
    async with database.transaction() as session:
        row = await session.fetch_one(PID)
    assert row is not None
    assert pids == {row[0]}
    assert (database.open_connections, database.idle_connections) == (1, 1)


async def test_all_that_wait_get_one_though_there_are_few(database: Database) -> None:
    rows = await asyncio.gather(*(pid_of(database) for _ in range(50)))
    assert len(rows) == 50
    assert len(set(rows)) <= 2
    assert database.idle_connections == database.open_connections


async def test_who_waits_gets_the_one_that_a_transaction_held(database_url: str) -> None:
    single = await Database.connect(database_url, max_connections=1, acquire_timeout_seconds=30)
    async with single.transaction():
        waiting = asyncio.create_task(pid_of(single))
        await asyncio.sleep(0)
        assert single._connections._waiting == 1
    async with asyncio.timeout(10):
        assert await waiting
        await single.close()


async def test_those_that_the_server_has_ended_are_replaced(
    database: Database, database_url: str
) -> None:
    before = set(await asyncio.gather(pid_of(database), pid_of(database)))
    for pid in before:
        await run(database_url, f"select pg_terminate_backend({pid})")
    after: set[int] = set()
    for _ in range(3):  # one that did not hear of its end yet fails, and only once
        with contextlib.suppress(DatabaseUnavailable):
            after |= set(await asyncio.gather(pid_of(database), pid_of(database)))
    assert after
    assert not after & before


async def test_one_whose_statement_was_cancelled_can_be_used_again(database: Database) -> None:
    await pid_of(database)  # connected
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await database.fetch("select pg_sleep(60)")
    assert len(await asyncio.gather(*(pid_of(database) for _ in range(10)))) == 10


async def test_those_that_nobody_uses_go_back_to_the_pool(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "UNUSED_SECONDS", 0.05)
    kept = database._connections
    async with database.transaction():
        await pid_of(database)
    assert kept.idle == 2
    async with asyncio.timeout(10):
        await wait_until(lambda: kept.idle == 0 and database.idle_connections == 2)
    assert await pid_of(database)
    assert kept.idle == 1


async def test_one_that_was_cut_off_does_not_count_as_idle(
    database: Database, database_url: str
) -> None:
    pid = await pid_of(database)
    await run(database_url, f"select pg_terminate_backend({pid})")
    async with asyncio.timeout(10):
        await wait_until(lambda: database.idle_connections == 0)
    assert await pid_of(database) != pid


async def test_closing_waits_for_those_in_use_and_for_no_other(database_url: str) -> None:
    closing = await Database.connect(database_url, max_connections=2)
    await pid_of(closing)
    async with closing.transaction():
        closed = asyncio.create_task(closing.close())
        await asyncio.wait([closed], timeout=0.1)
        assert not closed.done()
    async with asyncio.timeout(10):
        await closed
    with pytest.raises(DatabaseUnavailable):
        await pid_of(closing)
