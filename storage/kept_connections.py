"""Connections of a pool that stay taken from one statement to the next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog

__all__ = ["KeptConnections"]

UNUSED_SECONDS = 60.0
"""After so long without use, at most twice that, one goes back to the pool, which closes it in
its time."""

log = structlog.get_logger()


class KeptConnections:
    """Lends the connections of an asyncpg pool, the one used last first.

    Taking one from the pool and giving it back, which is a task of its own, is more work than
    sending a small statement and reading its answer. Here only what nobody has yet is taken from
    the pool; what failed, what somebody else waits for, and what is not used goes back to it.
    There are never more than the pool has.
    """

    def __init__(self, pool: Any, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._kept: deque[tuple[Any, float]] = deque()
        self._waiting = 0
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> int:
        """How many connections are kept, and open."""
        return sum(_is_open(connection) for connection, _ in self._kept)

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
        self._kept.append((connection, time.monotonic()))
        self._arm_timer()

    async def give_back(self) -> None:
        """Give all back to the pool, those in use once they are free."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            await self._pool.release(self._kept.pop()[0])
        if self._returning:
            await asyncio.wait(self._returning)

    async def _take(self) -> Any:
        while self._kept:
            connection, _ = self._kept.pop()
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._acquire_timeout_seconds)
        finally:
            self._waiting -= 1

    def _arm_timer(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(UNUSED_SECONDS, self._give_back_unused)

    def _give_back_unused(self) -> None:
        self._timer = None
        longest_ago = time.monotonic() - UNUSED_SECONDS
        while self._kept and self._kept[0][1] <= longest_ago:
            task = asyncio.create_task(self._give_back_one(self._kept.popleft()[0]))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
        if self._kept:
            self._arm_timer()

    async def _give_back_one(self, connection: Any) -> None:
        try:
            await self._pool.release(connection)
        except (asyncpg.InterfaceError, OSError) as error:  # a TimeoutError is one
            log.info("connection_not_closed_well", error=type(error).__name__)


def _is_open(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was cut off, and is back in the pool by itself
