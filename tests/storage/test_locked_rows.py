"""Rows that somebody else has locked, as a session left open in psql does, hold up no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from storage import held_rows
from storage import writer as writer_module
from storage.codec import StorageFailure
from storage.postgres import Database, DatabaseLocked
from storage.records import Accepted, AcceptOutcome, FencedOutcome
from storage.writer import StorageWriter
from tests.storage.client import Client, claim, commit, message, renewal

KEYS = [f"c{number}" for number in range(20)]
HELD = "c7"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_LOCK_TIMEOUT_SECONDS", 0.3)


@asynccontextmanager
async def locked(database: Database, sql: str, *arguments: object) -> AsyncIterator[None]:
    """Hold rows as ``select … for update`` in an open session does."""
    async with database.transaction() as session:
        assert await session.fetch(sql, *arguments)
        yield


def one_locked(database: Database) -> AbstractAsyncContextManager[None]:
    """Hold the row of one conversation."""
    return locked(
        database, "select 1 from conversations where conversation_id = $1 for update", HELD
    )


async def test_messages_of_other_conversations_are_accepted_beside_a_locked_one(
    writer: StorageWriter, client: Client, database: Database
) -> None:
    await client.accept(*(message(key) for key in KEYS))
    async with one_locked(database):
        results = await client.execute(*(message(key, "m2") for key in KEYS))
        refused = [key for key, it in zip(KEYS, results, strict=True) if not _is_accepted(it)]
        assert refused == [HELD]
        assert results[KEYS.index(HELD)] is StorageFailure.UNAVAILABLE
        assert HELD in writer._held
    (result,) = await client.execute(message(HELD, "m2"))
    assert isinstance(result, Accepted)
    assert result.outcome is AcceptOutcome.ACCEPTED
    assert HELD not in writer._held


def _is_accepted(result: object) -> bool:
    return isinstance(result, Accepted) and result.outcome is AcceptOutcome.ACCEPTED


async def test_turns_of_other_conversations_commit_beside_a_locked_one(
    client: Client, database: Database
) -> None:
    jobs = {key: await client.owned_job(key, "m1") for key in KEYS}
    async with one_locked(database):
        results = await client.execute(*(commit(key, jobs[key], "m1") for key in KEYS))
        expected = dict.fromkeys(KEYS, FencedOutcome.DONE) | {HELD: StorageFailure.UNAVAILABLE}
        assert dict(zip(KEYS, results, strict=True)) == expected
    assert await client.do(commit(HELD, jobs[HELD], "m1")) is FencedOutcome.DONE


@pytest.mark.parametrize("table", ["jobs", "messages"])
async def test_a_locked_job_or_message_holds_up_its_own_conversation_only(
    client: Client, database: Database, table: str
) -> None:
    jobs = {key: await client.owned_job(key, "m1") for key in KEYS}
    sql = f"select 1 from {table} where conversation_id = $1 for update"  # noqa: S608 (above)
    async with locked(database, sql, HELD):
        results = await client.execute(*(commit(key, jobs[key], "m1") for key in KEYS))
        expected = dict.fromkeys(KEYS, FencedOutcome.DONE) | {HELD: StorageFailure.UNAVAILABLE}
        assert dict(zip(KEYS, results, strict=True)) == expected


async def test_many_messages_of_a_locked_conversation_are_refused_together(
    client: Client, database: Database
) -> None:
    await client.accept(*(message(key) for key in KEYS))
    async with one_locked(database):
        hot = [message(HELD, f"hot {number}") for number in range(50)]
        results = await client.execute(*hot, *(message(key, "m2") for key in KEYS))
        assert set(results[:50]) == {StorageFailure.UNAVAILABLE}
        others = [it for key, it in zip(KEYS, results[50:], strict=True) if key != HELD]
        assert all(isinstance(it, Accepted) for it in others)
    accepted = await client.accept(*hot)
    assert [it.outcome for it in accepted] == [AcceptOutcome.ACCEPTED] * 50
    assert [it.seq for it in accepted] == sorted(it.seq for it in accepted)


async def test_claims_and_renewals_go_on_beside_a_locked_conversation(
    client: Client, database: Database
) -> None:
    await client.accept(*(message(key) for key in KEYS))
    async with one_locked(database):
        claims = await client.execute(*(claim(key) for key in KEYS))
        assert [key for key, it in zip(KEYS, claims, strict=True) if it == "unavailable"] == [HELD]
        renewals = await client.execute(*(renewal(key) for key in KEYS))
        done = [key for key, it in zip(KEYS, renewals, strict=True) if it is FencedOutcome.DONE]
        assert done == [key for key in KEYS if key != HELD]


async def test_where_everything_is_locked_the_search_for_what_is_not_ends(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_rows, "APART_SECONDS", 0.2)
    await client.accept(*(message(key) for key in KEYS))
    async with locked(database, "select 1 from conversations for update"):
        async with asyncio.timeout(20):
            results = await client.execute(*(message(key, "m2") for key in KEYS))
        assert results == [StorageFailure.UNAVAILABLE] * len(KEYS)
    await client.accept(*(message(key, "m2") for key in KEYS))


async def test_a_lock_is_told_from_other_trouble(database_url: str, database: Database) -> None:
    await database.fetch("insert into conversations (conversation_id) values ($1)", HELD)
    impatient = await Database.connect(database_url, lock_timeout_seconds=0.05)
    sql = "select 1 from conversations where conversation_id = $1 for update"
    async with locked(database, sql, HELD):
        with pytest.raises(DatabaseLocked):
            await impatient.fetch(sql, HELD)
    await impatient.close()
