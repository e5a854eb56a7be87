"""What every process does for its own metrics: watch its event loop, and hand out the figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from storage.metric_types import Figures
from storage.metrics import LOOP_LAG

__all__ = ["EXPORT_SECONDS", "Exporter", "watch_process"]

TICK_SECONDS = 0.25
EXPORT_SECONDS = 5.0
"""Half of the time between Ray's own reports, and a gauge that misses two of those is gone."""


class Exporter(Protocol):
    """Where the figures of a process go."""

    def export(self, figures: Figures) -> None:
        """Hand them out; in a thread of its own."""
        ...


async def watch_process(figures: Callable[[], Figures], exporter: Exporter) -> None:
    """Note the loop's lag all the time; every ``EXPORT_SECONDS`` export ``figures()``."""
    due = time.monotonic()
    while True:
        before = time.monotonic()
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        LOOP_LAG.observe(max(0.0, now - before - TICK_SECONDS))
        if now >= due:
            due = now + EXPORT_SECONDS
            await asyncio.to_thread(exporter.export, figures())
