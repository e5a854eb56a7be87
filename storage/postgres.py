"""The connection pool, the SQL files, and what PostgreSQL's errors mean."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg

from storage.kept_connections import KeptConnections

__all__ = [
    "Database",
    "DatabaseConflict",
    "DatabaseLocked",
    "DatabaseRejected",
    "DatabaseUnavailable",
    "Row",
    "Session",
    "migration_connection",
    "queries",
]

Row: TypeAlias = asyncpg.Record

_NAME = re.compile(r"^-- name: *(\w+)\s*$", re.MULTILINE)

# SQLSTATE classes that blame the values, and would come again with the same values: data
# exception, constraint violation, program limit (a key too long for its index).
_REJECTED_CLASSES = ("22", "23", "54")
# serialization_failure, deadlock_detected: the same statement goes through when it is tried again.
_CONFLICTS = ("40001", "40P01")
_LOCKED = "55P03"  # lock_not_available: not within lock_timeout


class DatabaseUnavailable(Exception):
    """PostgreSQL did not do it, or nobody knows whether it did; trying again may help."""


class DatabaseConflict(DatabaseUnavailable):
    """A deadlock or serialization failure: nothing was done, and trying again at once will help."""


class DatabaseLocked(DatabaseUnavailable):
    """Somebody else has locked a row for longer than we wait: nothing was done."""


class DatabaseRejected(Exception):
    """PostgreSQL does not take these values; trying again will not help. Nothing was done."""


@cache
def queries(name: str) -> Mapping[str, str]:
    """Return the statements of ``storage/sql/{name}.sql``, by their ``-- name:`` lines."""
    text = files("storage").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    _, *blocks = _NAME.split(text)
    return dict(zip(blocks[::2], (block.strip() for block in blocks[1::2]), strict=True))


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state in _CONFLICTS:
            raise DatabaseConflict(f"{state}: {error.args[0]}") from error
        if state == _LOCKED:
            raise DatabaseLocked(f"{state}: {error.args[0]}") from error
        if state.startswith(_REJECTED_CLASSES):
            # The detail would repeat the values, which may be somebody's message.
            raise DatabaseRejected(f"PostgreSQL refuses the value ({state})") from None
        raise DatabaseUnavailable(f"{state}: {error.args[0]}") from error
    except (asyncpg.DataError, UnicodeError):
        raise DatabaseRejected("the value has no form that PostgreSQL takes") from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        # A TimeoutError is an OSError; the second is what a connection that was cut just now says.
        raise DatabaseUnavailable(str(error) or type(error).__name__) from error


class Session:
    """One connection inside a transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Run a statement and return its rows."""
        with _translated_errors():
            return list(await self._connection.fetch(sql, *arguments))

    async def fetch_one(self, sql: str, *arguments: object) -> Row | None:
        """Run a statement and return its first row, or None."""
        with _translated_errors():
            row: Row | None = await self._connection.fetchrow(sql, *arguments)
            return row


class Database:
    """A pool of connections. It connects when it is first used, and again after a failure.

    All its methods raise ``DatabaseUnavailable`` or ``DatabaseRejected``.
    """

    def __init__(self, pool: Any, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._connections = KeptConnections(pool, acquire_timeout_seconds)

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        max_connections: int = 10,
        statement_timeout_seconds: float = 10.0,
        acquire_timeout_seconds: float = 5.0,
        lock_timeout_seconds: float | None = None,
        application_name: str = "chat-orchestrator",
        keys_only: bool = False,
    ) -> Database:
        """Make the pool for ``url``; the server need not be there yet.

        ``keys_only``: every statement looks rows up by key. Its plan is then made once, and not
        of the kind that reads whole tables because they were small when it was made.
        ``lock_timeout_seconds``: how long to wait for a row that somebody else has locked (default:
        as long as a statement may take); past it comes ``DatabaseLocked``.
        """
        milliseconds = str(int(statement_timeout_seconds * 1000))
        settings = {
            "application_name": application_name,
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "timezone": "UTC",
            "jit": "off",
        }
        if lock_timeout_seconds is not None:
            settings["lock_timeout"] = str(int(lock_timeout_seconds * 1000))
        if keys_only:
            settings |= {
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                "enable_mergejoin": "off",
                "random_page_cost": "1.1",
            }
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=max_connections,
            timeout=acquire_timeout_seconds,
            # The server gives up first; this is for a server that does not answer at all.
            command_timeout=statement_timeout_seconds * 1.5,
            server_settings=settings,
            reset=_keep_session,
        )
        await pool
        return cls(pool, acquire_timeout_seconds)

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Run a statement in a transaction of its own and return its rows."""
        with _translated_errors():
            async with self._connections.lend() as connection:
                return list(await connection.fetch(sql, *arguments))

    async def fetch_one(self, sql: str, *arguments: object) -> Row | None:
        """Run a statement in a transaction of its own and return its first row, or None."""
        with _translated_errors():
            async with self._connections.lend() as connection:
                row: Row | None = await connection.fetchrow(sql, *arguments)
                return row

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Open a transaction (READ COMMITTED); it is rolled back when the block raises."""
        with _translated_errors():
            async with self._connections.lend() as connection, connection.transaction():
                yield Session(connection)

    @property
    def open_connections(self) -> int:
        """How many connections the pool has open."""
        return int(self._pool.get_size())

    @property
    def idle_connections(self) -> int:
        """How many of them are not in use."""
        return int(self._pool.get_idle_size()) + self._connections.idle

    @property
    def max_connections(self) -> int:
        """How many connections the pool opens at most."""
        return int(self._pool.get_max_size())

    async def close(self) -> None:
        """Wait for what is running, then close all connections."""
        try:
            await self._connections.give_back()
            await self._pool.close()
        except BaseException:
            self._pool.terminate()
            raise

    def terminate(self) -> None:
        """Close all connections without waiting for what is running."""
        self._pool.terminate()


async def _keep_session(_connection: object) -> None:
    """Do nothing between two users of a connection: no statement here changes the session."""


async def migration_connection(url: str) -> Any:
    """Open a bare connection, without timeouts, for Alembic."""
    return await asyncpg.connect(url, server_settings={"application_name": "migration"})
