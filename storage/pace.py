"""How long to hold a batch back: not at all while little is under way, a little while much is."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from storage.tasks import wait_at_most

__all__ = ["Busyness", "Pace", "never_busy"]

Busyness = Callable[[], float]
"""How much is under way in a process: from 0, nothing, to 1 and beyond, much."""

LONGEST_SECONDS = 0.03
LITTLE = 0.15
"""Of busyness: so much and less is little."""


class Pace:
    """Keeps batches apart by more the more is under way.

    ``shortest_seconds`` keeps them apart by so much in any case.

    A batch costs a call between actors, and often a transaction, however little it carries. While
    little is under way what counts is that each goes at once, and there is time for that; while
    much is, that fewer of them go: what waits is answered sooner for it.
    """

    def __init__(
        self,
        busyness: Busyness,
        *,
        longest_seconds: float = LONGEST_SECONDS,
        shortest_seconds: float = 0.0,
    ) -> None:
        self._busyness = busyness
        self._longest_seconds = longest_seconds
        self._shortest_seconds = shortest_seconds
        self._started_at = -math.inf

    def note_start(self) -> None:
        """A batch starts now."""
        self._started_at = time.monotonic()

    async def wait(self, released: asyncio.Event | None = None) -> None:
        """Wait as long as the next batch is to, and note that it starts.

        It is not held back any longer once ``released`` is set.
        """
        if (remaining_seconds := self.remaining_seconds()) > 0:
            if released is None:
                await asyncio.sleep(remaining_seconds)
            else:
                await wait_at_most(released, remaining_seconds)
        self.note_start()

    def remaining_seconds(self) -> float:
        """Return how long the next batch is to wait from now on; 0 if it is not."""
        busyness = min(1.0, self._busyness())
        interval_seconds = self._longest_seconds * busyness if busyness > LITTLE else 0.0
        interval_seconds = max(interval_seconds, self._shortest_seconds)
        return max(0.0, self._started_at + interval_seconds - time.monotonic())


def never_busy() -> float:
    """Hold nothing back."""
    return 0.0
