"""Counters, gauges and histograms of a process: plain numbers, so that counting is cheap.

What they hold is read by exporters now and then, all at once (``figures_of``). Each has at
most one label, whose values are known from the start: nothing can be labelled by conversation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["OTHER", "Counter", "Figures", "Gauge", "Histogram", "Metric", "figures_of"]

Figures = dict[str, dict[str, list[float]]]
"""By metric and label value ("" where there is no label): one number; of a histogram, how many
observations each bucket took (the last bucket has no bound), and their sum."""

OTHER = "other"
"""The label value of whatever has none of the known ones."""


class Metric:
    """One metric; ``label`` and its ``values``, or neither."""

    kind = ""
    """What Prometheus calls its type."""

    def __init__(
        self, name: str, help_text: str, label: str | None = None, values: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.label = label
        self.values = tuple(values) if label else ("",)

    def series(self) -> Iterator[tuple[str, list[float]]]:
        """Yield label value and numbers, as in ``Figures``."""
        raise NotImplementedError


class Counter(Metric):
    """How often something has happened since the process began."""

    kind = "counter"

    def __init__(
        self, name: str, help_text: str, label: str | None = None, values: Sequence[str] = ()
    ) -> None:
        super().__init__(name, help_text, label, values)
        self._counts = dict.fromkeys(self.values, 0)

    def add(self, value: str = "", amount: int = 1) -> None:
        """Count ``amount`` more under a value of the label."""
        try:
            self._counts[value] += amount
        except KeyError:
            self._counts[OTHER] = self._counts.get(OTHER, 0) + amount

    def count(self, value: str = "") -> int:
        """Return how often it has happened so far."""
        return self._counts.get(value, 0)

    def series(self) -> Iterator[tuple[str, list[float]]]:
        """Yield label value and count."""
        for value, count in self._counts.items():
            yield value, [count]


class Gauge(Metric):
    """How much of something there is now; nothing is shown of it before it is first set."""

    kind = "gauge"

    def __init__(
        self, name: str, help_text: str, label: str | None = None, values: Sequence[str] = ()
    ) -> None:
        super().__init__(name, help_text, label, values)
        self._levels: dict[str, float] = {}

    def set(self, level: float, value: str = "") -> None:
        """Note how much there is."""
        self._levels[value if value in self.values else OTHER] = level

    def series(self) -> Iterator[tuple[str, list[float]]]:
        """Yield label value and level."""
        for value, level in self._levels.items():
            yield value, [level]


class Histogram(Metric):
    """How observations spread over buckets; ``bounds`` are their upper ends, in order."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help_text: str,
        bounds: Sequence[float],
        label: str | None = None,
        values: Sequence[str] = (),
    ) -> None:
        super().__init__(name, help_text, label, values)
        self.bounds = tuple(bounds)
        self._buckets = {value: self._empty() for value in self.values}

    def observe(self, amount: float, value: str = "") -> None:
        """Take in one observation under a value of the label."""
        buckets = self._buckets.get(value)
        if buckets is None:
            buckets = self._buckets.setdefault(OTHER, self._empty())
        buckets[bisect_left(self.bounds, amount)] += 1
        buckets[-1] += amount

    def count(self, value: str = "") -> int:
        """Return how many observations there were so far."""
        return int(sum(self._buckets.get(value, [0.0])[:-1]))

    def series(self) -> Iterator[tuple[str, list[float]]]:
        """Yield label value, buckets and sum."""
        for value, buckets in self._buckets.items():
            yield value, list(buckets)

    def _empty(self) -> list[float]:
        return [0.0] * (len(self.bounds) + 2)


def figures_of(metrics: Iterable[Metric]) -> Figures:
    """Return what metrics hold now; those that hold nothing are missing."""
    found = {metric.name: dict(metric.series()) for metric in metrics}
    return {name: series for name, series in found.items() if series}
