"""The metrics of this process, and what the actors last reported of theirs, as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from storage.metric_types import Figures, Histogram, Metric
from storage.metrics import METRICS

__all__ = ["CONTENT_TYPE_LATEST", "metrics_text"]


def metrics_text(processes: dict[str, Figures]) -> bytes:
    """Return the text; each series is labelled with the name of its process."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Figures(processes))
    return generate_latest(registry)


class _Figures(Collector):
    """All figures, as the library wants them."""

    def __init__(self, processes: dict[str, Figures]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Family]:
        for metric in METRICS.values():
            yield _family(metric, self._series(metric))

    def _series(self, metric: Metric) -> Iterator[tuple[list[str], list[float]]]:
        for process, figures in self._processes.items():
            for value, numbers in figures.get(metric.name, {}).items():
                yield ([process] if metric.label is None else [process, value]), numbers


def _family(metric: Metric, series: Iterable[tuple[list[str], list[float]]]) -> Family:
    labels = ["process"] if metric.label is None else ["process", metric.label]
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help_text, labels=labels)
        for values, numbers in series:
            if len(numbers) == len(metric.bounds) + 2:  # else it is of a process of another release
                histogram.add_metric(values, _buckets(metric, numbers), numbers[-1])
        return histogram
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.name, metric.help_text, labels=labels)
    for values, numbers in series:
        family.add_metric(values, numbers[0])
    return family


def _buckets(metric: Histogram, numbers: list[float]) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus counts them: each with all that is below."""
    found, count = [], 0.0
    for bound, number in zip([*metric.bounds, "+Inf"], numbers[:-1], strict=True):
        count += number
        found.append((str(bound), count))
    return found
