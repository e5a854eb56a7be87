"""PostgreSQL and Valkey for measurements: as the server starts them, with ``fsync`` on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_valkey import EmbeddedValkey
from storage.migrate import migrate
from storage.postgres import migration_connection

__all__ = ["Servers", "fresh_database", "started_servers"]

REDIS_MEGABYTES = 1024


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers that run."""

    postgres: EmbeddedPostgres
    redis: EmbeddedValkey


@contextmanager
def started_servers(folder: Path, *, with_postgres: bool = True) -> Iterator[Servers]:
    """Start both (or Valkey alone) with their files in ``folder``."""
    servers = Servers(
        EmbeddedPostgres(folder / "postgres"),
        EmbeddedValkey(folder / "redis", megabytes=REDIS_MEGABYTES),
    )
    try:
        if with_postgres:
            servers.postgres.start()
        servers.redis.start()
        yield servers
    finally:
        servers.redis.stop()
        if with_postgres:
            servers.postgres.stop()


@asynccontextmanager
async def fresh_database(servers: Servers) -> AsyncIterator[str]:
    """Make an empty database with all tables, and drop it in the end."""
    name = f"measure_{uuid.uuid4().hex}"
    await _run(servers.postgres.url, f"create database {name}")
    url = urlsplit(servers.postgres.url)._replace(path=f"/{name}").geturl()
    await migrate(url)
    try:
        yield url
    finally:
        await _run(servers.postgres.url, f"drop database {name} with (force)")


async def _run(url: str, statement: str) -> None:
    connection = await migration_connection(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
