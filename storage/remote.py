"""Classes as Ray actors, the storage writer first of all; and the way of metrics to Ray."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import ray
import structlog
from ray.util import metrics as ray_metrics

from storage.call_server import CallServer
from storage.calls import CallAddress
from storage.garbage import relax_garbage_collection
from storage.log_config import configure_logging
from storage.metric_types import Figures, Histogram, Metric
from storage.metrics import METRICS
from storage.process_watch import watch_process
from storage.scheduling import work_in_batches
from storage.tasks import keep_running
from storage.writer import StorageWriter

__all__ = ["RayExporter", "actor_class", "storage_writer_class"]

log = structlog.get_logger()


class RayExporter:
    """Hands the figures of a process to Ray, which has those of a node at its metrics port.

    Ray takes single observations only and spreads them over the middles of its buckets, so a
    histogram goes out as Prometheus writes it: ``_bucket`` with ``le``, ``_sum``, ``_count``.
    """

    def __init__(self, process: str) -> None:
        self._process = process
        self._instruments: dict[str, Any] = {}
        self._exported: dict[tuple[str, str], float] = {}

    def export(self, figures: Figures) -> None:
        """Hand them out."""
        for name, series in figures.items():
            metric = METRICS[name]
            for value, numbers in series.items():
                labels = {"process": self._process}
                if metric.label is not None:
                    labels[metric.label] = value
                if isinstance(metric, Histogram):
                    self._export_histogram(metric, labels, numbers)
                elif metric.kind == "counter":
                    self._count(metric, labels, value, numbers[0])
                else:
                    self._set(metric, name, labels, numbers[0])

    def _count(self, metric: Metric, labels: dict[str, str], value: str, count: float) -> None:
        counter = self._instruments.get(metric.name)
        if counter is None:
            counter = _Counter(metric.name, metric.help_text, tuple(labels))
            self._instruments[metric.name] = counter
        before = self._exported.get((metric.name, value))
        if before is None or count > before:
            counter.add(count - (before or 0.0), labels)
            self._exported[metric.name, value] = count

    def _export_histogram(
        self, metric: Histogram, labels: dict[str, str], numbers: list[float]
    ) -> None:
        *buckets, total = numbers
        count = 0.0
        for bound, bucket in zip([*metric.bounds, "+Inf"], buckets, strict=True):
            count += bucket
            self._set(metric, f"{metric.name}_bucket", {**labels, "le": str(bound)}, count)
        self._set(metric, f"{metric.name}_sum", labels, total)
        self._set(metric, f"{metric.name}_count", labels, count)

    def _set(self, metric: Metric, name: str, labels: dict[str, str], level: float) -> None:
        gauge = self._instruments.get(name)
        if gauge is None:
            gauge = ray_metrics.Gauge(name, metric.help_text, tuple(labels))
            self._instruments[name] = gauge
        gauge.set(level, labels)


class _Counter(ray_metrics.Counter):
    """One that can be shown at 0: what rises from nothing does not show as a rise."""

    def add(self, amount: float, labels: dict[str, str]) -> None:
        self._record(amount, labels)


def actor_class(plain: type[Any], log_level: str, **options: Any) -> Any:
    """Return ``plain`` as an actor class whose process logs, and is watched, as all others are.

    ``plain`` has a method ``figures`` that returns those of its process. ``options`` are Ray's
    (name, lifetime, resources, ...).
    """

    class Actor(plain):  # type: ignore[misc]
        def __init__(self, *arguments: object) -> None:
            name = str(options.get("name", plain.__name__))
            configure_logging(log_level, name)
            relax_garbage_collection()
            work_in_batches()
            super().__init__(*arguments)
            exporter = RayExporter(name)
            watch = partial(watch_process, self.figures, exporter)
            # Ray makes an actor with coroutines in its event loop.
            self._process_watch = asyncio.create_task(keep_running("watch_process", watch))
            self._call_server = CallServer(self)

        async def call_address(self) -> CallAddress | None:
            """Return where it takes calls beside those of Ray; None: it cannot listen."""
            here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            try:
                return await self._call_server.address(here)
            except OSError as error:
                log.warning("calls_by_ray_only", address=here, error=str(error))
                return None

    # Ray, `ps` and the dashboard show it by its name.
    Actor.__name__ = Actor.__qualname__ = plain.__name__
    Actor.__module__ = plain.__module__
    Actor.__doc__ = plain.__doc__
    return ray.remote(**options)(Actor)


def storage_writer_class(log_level: str, **options: Any) -> Any:
    """Return the writer's actor class; ``options`` are Ray's."""
    return actor_class(StorageWriter, log_level, **options)
