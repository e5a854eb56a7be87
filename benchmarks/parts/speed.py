"""How fast one way of writing was."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.parts.processor_time import processor_seconds
from benchmarks.parts.servers import Servers

__all__ = ["Clock", "Speed"]


@dataclass(slots=True)
class Speed:
    """How fast one way was, once; processor time in microseconds a row."""

    rows_per_second: float
    server_us: float
    client_us: float


class Clock:
    """Times one way of writing."""

    def __init__(self, servers: Servers) -> None:
        self._pid = servers.postgres.pid or 0

    async def run(self, rows: int, work: Callable[[], Awaitable[None]]) -> Speed:
        """Return how fast ``work`` wrote so many rows."""
        server, client = processor_seconds(self._pid), time.process_time()
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        return Speed(
            rows / seconds,
            (processor_seconds(self._pid) - server) / rows * 1e6,
            (time.process_time() - client) / rows * 1e6,
        )
