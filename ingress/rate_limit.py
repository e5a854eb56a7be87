"""The rate limit: so many requests a token and instance in each window of time."""

from __future__ import annotations

import time

from limits import parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from ingress.errors import RateLimited

__all__ = ["RateLimit"]

_MAX_WINDOWS = 10_000
"""More windows than that are open only while that many tokens are in use."""


class RateLimit:
    """Counts requests. ``setting`` is like ``1000/second``, or ``off``."""

    def __init__(self, setting: str) -> None:
        self._limit = None if setting == "off" else parse(setting)
        self._strategy = FixedWindowRateLimiter(_Windows())

    def check(self, key: str) -> None:
        """Count a request. Raises ``RateLimited`` when there were too many."""
        if self._limit is None or self._strategy.hit(self._limit, key):
            return
        window = self._strategy.get_window_stats(self._limit, key)
        raise RateLimited("Too many requests for this token", window.reset_time - time.time())


class _Windows(Storage):
    """Counters in memory for one event loop (the library's own starts a thread for its upkeep)."""

    STORAGE_SCHEME = None  # not to be found by an address

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        count, ends_at = self._windows.get(key, (0, 0.0))
        if ends_at <= now:
            self._make_room(now)
            count, ends_at = 0, now + expiry
        self._windows[key] = count + amount, ends_at
        return count + amount

    def get(self, key: str) -> int:
        count, ends_at = self._windows.get(key, (0, 0.0))
        return count if ends_at > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _make_room(self, now: float) -> None:
        if len(self._windows) < _MAX_WINDOWS:
            return
        self._windows = {key: it for key, it in self._windows.items() if it[1] > now}
        while len(self._windows) >= _MAX_WINDOWS:
            self._windows.pop(next(iter(self._windows)))
