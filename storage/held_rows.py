"""Rows that somebody else keeps locked: they must hold up nobody but their own conversation."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from storage.codec import Result, StorageFailure
from storage.postgres import DatabaseLocked

__all__ = ["HeldRows"]

REMEMBERED_SECONDS = 30.0
"""So long after it was last found locked a conversation is written apart from all others."""
MAX_REMEMBERED = 10_000
APART_SECONDS = 3.0
"""So long one batch may take to find out which of its rows are locked."""

logger = structlog.get_logger()

_Write = Callable[[list[Any]], Awaitable[list[Result]]]


class HeldRows:
    """Finds, by halves, the conversations of a batch that are locked, and remembers them a while.

    So a lock that is kept costs other conversations one wait, and not one with each batch.
    """

    def __init__(self) -> None:
        self._found_at: dict[str, float] = {}

    def __contains__(self, conversation_id: str) -> bool:
        found_at = self._found_at.get(conversation_id)
        return found_at is not None and time.monotonic() - found_at < REMEMBERED_SECONDS

    def apart(self, items: Sequence[Any]) -> tuple[list[int], list[int]]:
        """Return the places of the items that may be written together, and of those apart."""
        if not self._found_at:
            return list(range(len(items))), []
        apart = [it.conversation_id in self for it in items]
        return (
            [place for place, is_apart in enumerate(apart) if not is_apart],
            [place for place, is_apart in enumerate(apart) if is_apart],
        )

    async def write(self, items: list[Any], write: _Write) -> list[Result]:
        """Write what is not locked, by ``write``, which raises ``DatabaseLocked`` soon."""
        places = sorted(range(len(items)), key=lambda place: str(items[place].conversation_id))
        until = time.monotonic() + APART_SECONDS
        answers = await self._write([items[place] for place in places], write, until)
        results: list[Result] = [StorageFailure.UNAVAILABLE] * len(items)
        for place, answer in zip(places, answers, strict=True):
            results[place] = answer
        return results

    async def _write(self, items: list[Any], write: _Write, until: float) -> list[Result]:
        """Items of one conversation stand together."""
        if time.monotonic() >= until:
            logger.warning("locked_rows_not_found_in_time", items=len(items))
            return [StorageFailure.UNAVAILABLE] * len(items)
        try:
            results = await write(items)
        except DatabaseLocked as error:
            middle = _boundary(items)
            if middle is None:
                self._remember(items[0].conversation_id, str(error))
                return [StorageFailure.UNAVAILABLE] * len(items)
        else:
            self._forget(items)
            return results
        first = await self._write(items[:middle], write, until)
        return first + await self._write(items[middle:], write, until)

    def _remember(self, conversation_id: str, error: str) -> None:
        logger.warning("conversation_locked", conversation_id=conversation_id, error=error)
        self._found_at.pop(conversation_id, None)
        self._found_at[conversation_id] = time.monotonic()
        if len(self._found_at) > MAX_REMEMBERED:
            del self._found_at[next(iter(self._found_at))]

    def _forget(self, items: list[Any]) -> None:
        for item in items:
            self._found_at.pop(item.conversation_id, None)


def _boundary(items: list[Any]) -> int | None:
    """Return where the conversation next to the middle begins; None: there is only one."""
    ids = [it.conversation_id for it in items]
    starts = [place for place in range(1, len(ids)) if ids[place] != ids[place - 1]]
    return min(starts, key=lambda place: abs(place - len(ids) // 2), default=None)
