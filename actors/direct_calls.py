"""The direct way to an actor: a connection beside Ray, for calls that are made all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from actors.call_connection import CallConnection
from actors.ports import PeerUnavailable
from storage.calls import CallAddress

__all__ = ["DirectCalls"]

OPEN_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0

log = structlog.get_logger()


class DirectCalls:
    """Keeps a connection to an actor; while there is none, calls go by Ray.

    Nobody waits for it: it is opened beside the calls that go by Ray meanwhile, and tried again
    after a pause, each one longer, where it does not open.
    """

    def __init__(
        self, actor: str, find_address: Callable[[], Awaitable[CallAddress | None]]
    ) -> None:
        self._actor = actor
        self._find_address = find_address
        self._connection: CallConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._open_at = 0.0

    def connection(self) -> CallConnection | None:
        """Return the connection, or None and see to it that there will be one."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._opening is None and time.monotonic() >= self._open_at:
            self._opening = asyncio.create_task(self._open())
        return None

    def close(self) -> None:
        """Let go of it."""
        self._open_at = float("inf")
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                address = await self._find_address()
                if address is None:
                    raise ConnectionError("it takes no calls but Ray's")
                self._connection = await CallConnection.open(address)
            self._pause_seconds = FIRST_PAUSE_SECONDS
            self._open_at = time.monotonic() + FIRST_PAUSE_SECONDS
        except (PeerUnavailable, OSError) as error:
            log.info("no_direct_way", actor=self._actor, error=str(error))
            self._open_at = time.monotonic() + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        finally:
            self._opening = None
