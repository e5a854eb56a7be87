"""How long to hold a batch back: not at all while little comes, a little while much does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Pace"]

MEMORY_SECONDS = 0.2
"""What came longer ago hardly counts."""


class Pace:
    """Keeps batches apart by more the more comes: a call between actors costs as much as a turn.

    What comes to an idle way goes at once. At ``busy_rate`` items a second and beyond, batches
    start ``longest_seconds`` apart; below, in proportion.
    """

    def __init__(
        self,
        *,
        longest_seconds: float = 0.03,
        busy_rate: float = 400.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._longest_seconds = longest_seconds
        self._busy_rate = busy_rate
        self._clock = clock or time.monotonic
        self._started_at = -math.inf
        self._rate = 0.0

    def note(self, items: int) -> None:
        """A batch of so many items starts now."""
        now = self._clock()
        elapsed = max(now - self._started_at, 1e-6)
        weight = -math.expm1(-elapsed / MEMORY_SECONDS)
        self._rate += weight * (items / elapsed - self._rate)
        self._started_at = now

    def remaining_seconds(self) -> float:
        """Return how long the next batch is to wait from now on; 0 if it is not."""
        interval = self._longest_seconds * min(1.0, self._rate / self._busy_rate)
        return max(0.0, self._started_at + interval - self._clock())
