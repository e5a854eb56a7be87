"""A backup of the database is a backup of everything: what it was taken of goes on from it."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from pathlib import Path

from storage.embedded_programs import NEWEST_POSTGRES, postgres_binaries
from storage.migrate import migrate
from storage.postgres import Database
from storage.records import AcceptOutcome
from storage.writer import StorageWriter
from tests.servers import DEBIAN, DEBIAN_POSTGRES
from tests.storage.client import Client, message
from tests.storage.conftest import run, with_database

TABLES = ["conversations", "messages", "jobs", "message_actions", "bots"]


async def run_program(tmp_path: Path, name: str, *arguments: str) -> None:
    binaries = DEBIAN_POSTGRES if DEBIAN else postgres_binaries(NEWEST_POSTGRES, None, tmp_path)
    command = [str(binaries / name), *arguments]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


async def contents(database: Database) -> dict[str, list[str]]:
    """Return every row of every table, as text."""
    statements = {table: f"select t::text from {table} t order by 1" for table in TABLES}  # noqa: S608
    return {
        table: [row[0] for row in await database.fetch(statement)]
        for table, statement in statements.items()
    }


async def test_a_dump_that_is_restored_holds_all_and_goes_on(
    client: Client, database: Database, database_url: str, postgres_url: str, tmp_path: Path
) -> None:
    for number in range(20):
        await client.accept_one(message(f"c{number % 7}", f"m{number}", content="xin chào"))
    dump = str(tmp_path / "chat.dump")
    # The commands of docs/BACKUP.md.
    await run_program(tmp_path, "pg_dump", "--format=custom", f"--file={dump}", database_url)
    name = f"restored_{uuid.uuid4().hex}"
    await run(postgres_url, f"create database {name}")
    url = with_database(postgres_url, name)
    await run_program(
        tmp_path, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", dump
    )

    await migrate(url)  # nothing is left to do
    restored = await Database.connect(url, max_connections=2)
    writer = StorageWriter(url)
    assert await contents(restored) == await contents(database)
    again = await Client(writer).accept_one(message("c0", "m0", content="xin chào"))
    new = await Client(writer).accept_one(message("c0", "m20"))
    assert again.outcome is AcceptOutcome.DUPLICATE
    assert new.outcome is AcceptOutcome.ACCEPTED
    await writer.close()
    await restored.close()
    await run(postgres_url, f"drop database {name} with (force)")
