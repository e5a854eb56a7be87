from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from storage.codec import Operation, OperationKind, StorageFailure, decode_batch, encode_batch
from storage.migrate import migrate
from storage.postgres import (
    Database,
    DatabaseConflict,
    DatabaseRejected,
    DatabaseUnavailable,
    queries,
)
from storage.records import AcceptOutcome, FencedOutcome
from storage.writer import StorageWriter
from tests.servers import start_postgres
from tests.storage.client import Client, claim, commit, message, turn

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def test_statements_are_found_by_name() -> None:
    assert queries("claim")["renew_owners"].startswith("with input as")
    assert "-- name:" not in "".join(queries("accept").values())


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("select 'x'::text::integer", DatabaseRejected),
        ("insert into bots (bot_id) values (null)", DatabaseRejected),
        ("select * from no_such_table", DatabaseUnavailable),
        ("do $$ begin raise sqlstate '40P01'; end $$", DatabaseConflict),
        ("do $$ begin raise sqlstate '57P01'; end $$", DatabaseUnavailable),
    ],
)
async def test_errors_say_whether_trying_again_helps(
    database: Database, statement: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        await database.fetch(statement)
    assert raised.type is error
    async with database.transaction() as session:
        with pytest.raises(error):
            await session.fetch(statement)


async def test_a_statement_that_takes_too_long_is_given_up(database_url: str) -> None:
    database = await Database.connect(database_url, statement_timeout_seconds=0.05)
    with pytest.raises(DatabaseUnavailable):
        await database.fetch("select pg_sleep(10)")
    assert (await database.fetch_one("select 1 as one")) is not None
    await database.close()


async def test_without_a_database_every_item_is_unavailable() -> None:
    writer = StorageWriter(NOBODY)
    results = await Client(writer).execute(message("c1"), claim("c1"), turn("c1", "j", "m1"))
    assert results == [StorageFailure.UNAVAILABLE] * 3
    assert await writer.ping() is False
    await writer.close()


async def test_the_writer_goes_on_after_the_server_has_dropped_its_connections(
    writer: StorageWriter, client: Client, database: Database
) -> None:
    await client.accept_one(message("c1"))
    assert await writer.ping()
    await database.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'storage-writer' and datname = current_database()"
    )
    results = [(await client.execute(message("c1", f"m{number}")))[0] for number in range(2, 14)]
    stored = [result for result in results if not isinstance(result, StorageFailure)]
    assert stored
    assert getattr(results[-1], "outcome", None) is AcceptOutcome.ACCEPTED


async def test_more_than_it_can_queue_is_refused_and_nothing_stored(database_url: str) -> None:
    writer = StorageWriter(database_url, max_queued=3)
    results = await Client(writer).execute(*(message("c1", f"m{n}") for n in range(4)))
    assert results == [StorageFailure.OVERLOADED] * 4
    assert writer.queue_lengths()["accept"] == 0
    await writer.close()


def test_operations_survive_their_encoding() -> None:
    operations: list[Operation] = [
        message("c1"),
        claim("c1"),
        turn("c1", "j", "m1"),
        commit("c1", "j", "m1"),
    ]
    decoded = decode_batch(encode_batch(operations))
    assert [operation for _, operation in decoded] == operations
    assert [kind for kind, _ in decoded] == [
        OperationKind.ACCEPT,
        OperationKind.CLAIM,
        OperationKind.START_TURN,
        OperationKind.COMMIT_TURN,
    ]
    with pytest.raises(ValueError, match="no operation"):
        decode_batch(b"\x91\x92\xa3odd\x90")


async def test_opposite_orders_of_all_kinds_never_deadlock(
    database_url: str, database: Database
) -> None:
    """Accepts, claims and commits of the same conversations, by two writers, back to front."""
    writers = [StorageWriter(database_url) for _ in range(2)]
    one, two = (Client(writer) for writer in writers)
    keys = [f"c{number}" for number in range(30)]
    accepted = await one.accept(*(message(key) for key in keys))
    jobs = {key: each.job_id for key, each in zip(keys, accepted, strict=True)}
    for epoch in range(10):
        await asyncio.gather(
            one.execute(*(claim(key, epoch) for key in keys)),
            two.execute(*(claim(key, epoch) for key in reversed(keys))),
            one.execute(*(message(key, f"one {epoch}") for key in keys)),
            two.execute(*(message(key, f"two {epoch}") for key in reversed(keys))),
            two.execute(*(commit(key, jobs[key], "m1", epoch=epoch) for key in reversed(keys))),
        )
    outcomes = await one.execute(*(commit(key, jobs[key], "m1", epoch=10) for key in keys))
    assert set(outcomes) <= {FencedOutcome.DONE, FencedOutcome.CANCELLED}
    row = await database.fetch_one(
        "select deadlocks, (select sum(total_messages) from conversations) as messages,"
        " (select count(*) from messages) as rows"
        " from pg_stat_database where datname = current_database()"
    )
    assert row is not None
    assert row["deadlocks"] == 0
    assert row["messages"] == row["rows"] == 30 * 22
    for writer in writers:
        await writer.close()


async def test_migrating_twice_and_at_once_is_harmless(database_url: str) -> None:
    await asyncio.gather(migrate(database_url), migrate(database_url))


def test_the_bare_command_migrates_and_takes_it_back(tmp_path: Path) -> None:
    server = start_postgres(tmp_path)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "alembic", "-x", f"url={server.url}", "upgrade", "head"]
    try:
        at_once = [subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL) for _ in range(3)]
        assert [process.wait(timeout=50) for process in at_once] == [0, 0, 0]
        for arguments in (["downgrade", "base"], ["upgrade", "head"]):
            subprocess.run(
                [sys.executable, "-m", "alembic", "-x", f"url={server.url}", *arguments],
                cwd=root,
                check=True,
                capture_output=True,
            )
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=root,
            check=True,
            capture_output=True,
            env={"DATABASE_URL": server.url},
        )
    finally:
        server.remove()
