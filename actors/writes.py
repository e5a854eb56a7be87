"""Writes that are tried again until the database has said what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from actors.writer_link import WriterLink
from storage.codec import Operation, Result, StorageFailure

__all__ = ["write"]

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


async def write(
    writer: WriterLink,
    operation: Operation,
    until: Callable[[], float],
) -> Result | None:
    """Have ``operation`` done, as often as it takes; None when ``until()`` has passed.

    ``until`` gives the end of the owner's trust in its lease (monotonic seconds): while the
    database is away a turn waits, and commits when it is back, for as long as it is its owner.
    Repeating is safe: every operation is idempotent.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        result = await writer.call(operation)
        if not isinstance(result, StorageFailure):
            return result
        if time.monotonic() >= until():
            return None
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
