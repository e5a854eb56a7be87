"""Connections of a pool that stay taken from one statement to the next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

__all__ = ["KeptConnections"]

UNUSED_SECONDS = 60.0
"""After so long without use one goes back to the pool, which closes it in its time."""


class KeptConnections:
    """Lends the connections of an asyncpg pool, the one used last first.

    The pool makes a task for taking a connection and another for giving it back: more work than
    sending a statement and reading its answer. Here only what nobody has yet is taken from the
    pool, and only what failed, or somebody else waits for, goes back to it. There are never more
    than the pool has.
    """

    def __init__(self, pool: Any, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._kept: deque[tuple[Any, float]] = deque()
        self._waiting = 0
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._kept)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Any]:
        """Lend a connection for the length of the block. Raises what the pool raises."""
        connection = await self._take()
        try:
            yield connection
        except BaseException:
            # It may be in any state: the pool finds out, and closes it if need be.
            await self._pool.release(connection)
            raise
        if self._waiting or self._is_closing:
            await self._pool.release(connection)
            return
        now = time.monotonic()
        self._kept.append((connection, now))
        if now - self._kept[0][1] > UNUSED_SECONDS:
            await self._pool.release(self._kept.popleft()[0])

    async def give_back(self) -> None:
        """Give all back to the pool, those in use once they are free."""
        self._is_closing = True
        while self._kept:
            await self._pool.release(self._kept.pop()[0])

    async def _take(self) -> Any:
        while self._kept:
            connection, _ = self._kept.pop()
            try:
                if not connection.is_closed():
                    return connection
            except asyncpg.InterfaceError:
                continue  # it was cut off: then it is back in the pool by itself
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._acquire_timeout_seconds)
        finally:
            self._waiting -= 1
