"""The overview for all operators who watch: one look for all of them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog

from ingress.errors import Busy
from ingress.overview import Overview
from storage.postgres import DatabaseRejected, DatabaseUnavailable
from storage.tasks import wait_at_most

__all__ = ["LONGEST_STREAM_SECONDS", "MAX_WATCHERS", "OverviewFeed", "OverviewStream"]

MAX_WATCHERS = 100
"""Streams open at the same time in one instance."""
LOOK_SECONDS = 2.0
"""Between two looks while anybody watches."""
LONGEST_STREAM_SECONDS = 600.0
"""Then the client asks again, so that no token serves for long after it has expired."""

log = structlog.get_logger(__name__)


class OverviewStream:
    """The latest overview for one watcher; those that it was too slow for are left out."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] | None = None
        self._changed = asyncio.Event()
        self._is_over = False

    def put(self, overview: dict[str, Any]) -> None:
        """Tell how everything is now."""
        self._latest = overview
        self._changed.set()

    def end(self) -> None:
        """Tell of nothing more: the server stops."""
        self._is_over = True
        self._changed.set()

    async def overviews(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield them as they come, for at most ``LONGEST_STREAM_SECONDS``."""
        end = time.monotonic() + LONGEST_STREAM_SECONDS
        while not self._is_over and time.monotonic() < end:
            await self._changed.wait()
            self._changed.clear()
            latest, self._latest = self._latest, None
            if latest is not None:
                yield latest


class OverviewFeed:
    """Looks as long as anybody watches."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._streams: set[OverviewStream] = set()
        self._task: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()

    def check_room(self) -> None:
        """Raise ``Busy`` if too many watch."""
        if self._is_full:
            raise Busy("Too many event streams are open")

    async def follow(self, stream: OverviewStream) -> AsyncGenerator[dict[str, Any]]:
        """Yield what is seen; the stream takes part as long as this runs.

        It ends at once where others, which were let in at the same time, have taken all room.
        """
        if self._is_full:
            return
        self._streams.add(stream)
        self._joined.set()  # it is not to wait for the next look
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            async with aclosing(stream.overviews()) as overviews:
                async for overview in overviews:
                    yield overview
        finally:
            self._streams.discard(stream)

    @property
    def _is_full(self) -> bool:
        return len(self._streams) >= MAX_WATCHERS

    async def _look(self) -> None:
        try:
            while self._streams:
                self._joined.clear()
                try:
                    overview = await self._overview.look()
                except (DatabaseUnavailable, DatabaseRejected) as error:
                    log.warning("overview_not_read", error=type(error).__name__)
                else:
                    for stream in self._streams:
                        stream.put(overview)
                await wait_at_most(self._joined, LOOK_SECONDS)
        finally:
            self._task = None
