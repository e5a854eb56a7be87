"""What the console shows of the whole, in one look: what works, what is stuck, what was counted."""

from __future__ import annotations

import time
from typing import Any

from ingress.ports import Gateway
from ingress.stores import DeadLetterStore
from ingress.system_report import SystemReport
from storage import metrics
from storage.metric_types import Figures, Histogram, Metric
from storage.postgres import DatabaseUnavailable
from storage.views import ConversationStatistics

__all__ = ["COUNTS_SECONDS", "OVERVIEW_METRICS", "Overview"]

COUNTS_SECONDS = 10.0
"""How old the numbers of conversations and dead letters may be: counting is the dear part."""

OVERVIEW_METRICS: tuple[Metric, ...] = (
    metrics.ACCEPTED_MESSAGES,
    metrics.REFUSED_MESSAGES,
    metrics.MESSAGES_IN_FLIGHT,
    metrics.ADDED_LATENCY,
    metrics.TURNS,
    metrics.TURNS_RUNNING,
    metrics.AI_LATENCY,
    metrics.AI_FAILURES,
    metrics.DELIVERY_LATENCY,
    metrics.DELIVERIES,
    metrics.DEAD_LETTERS,
    metrics.FENCED_COMMITS,
    metrics.CONVERSATIONS,
    metrics.BUSY_CONVERSATIONS,
    metrics.MAILBOX_MESSAGES,
    metrics.LEASES_HELD,
)


class Overview:
    """Gathers it from the database, the actors and their metrics."""

    def __init__(
        self,
        report: SystemReport,
        letters: DeadLetterStore,
        gateway: Gateway,
        grafana_url: str | None,
    ) -> None:
        self._report = report
        self._letters = letters
        self._gateway = gateway
        self._grafana_url = grafana_url
        self._conversations: ConversationStatistics | None = None
        self._dead_letters: int | None = None
        self._counted_at = 0.0

    async def look(self) -> dict[str, Any]:
        """Return how everything is now; with the database away, what it would say is null."""
        await self._count()
        return {
            "timestamp": time.time(),
            **await self._report.health(self._conversations),
            "total_dead_letters": self._dead_letters,
            "actors": self._gateway.describe_actors(),
            "figures": sums_of(self._gateway.figures_of_all()),
            "grafana_url": self._grafana_url,
        }

    async def _count(self) -> None:
        if self._conversations and time.monotonic() - self._counted_at < COUNTS_SECONDS:
            return
        self._conversations = self._dead_letters = None
        try:
            self._conversations = await self._report.count()
            page = await self._letters.dead_letters(1, None, None)
        except DatabaseUnavailable:
            return  # the next look counts again
        self._dead_letters = page.total_dead_letters
        self._counted_at = time.monotonic()


def sums_of(processes: dict[str, Figures]) -> dict[str, Any]:
    """Return the metrics of ``OVERVIEW_METRICS``, summed over all processes, by name.

    A histogram's numbers are its buckets, the last without a bound, and the sum of what was seen.
    """
    return {
        metric.name.removeprefix(metrics.PREFIX): {
            "kind": metric.kind,
            "bounds": list(metric.bounds) if isinstance(metric, Histogram) else None,
            "values": _sum(metric, processes),
        }
        for metric in OVERVIEW_METRICS
    }


def _sum(metric: Metric, processes: dict[str, Figures]) -> dict[str, list[float]]:
    length = len(metric.bounds) + 2 if isinstance(metric, Histogram) else 1
    found: dict[str, list[float]] = {}
    for figures in processes.values():
        for label, numbers in figures.get(metric.name, {}).items():
            if len(numbers) == length:  # else it is of a process of another release
                total = found.setdefault(label, [0.0] * length)
                found[label] = [one + other for one, other in zip(total, numbers, strict=True)]
    return found
