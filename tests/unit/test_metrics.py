"""Metrics count in plain numbers, and have names and labels that are known from the start."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest

from storage import metrics
from storage.metric_types import OTHER, Counter, Figures, Gauge, Histogram, Metric, figures_of
from storage.metrics import (
    HOST,
    LOOP_LAG,
    METRICS,
    PREFIX,
    TURNS,
    decode_figures,
    encode_figures,
)
from storage.process_watch import watch_process

UNITS = {
    "counter": {"total"},
    "histogram": {"seconds", "operations"},
    "gauge": None,
}
MAX_LABEL_VALUES = 20


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_name_has_the_prefix_and_ends_with_its_unit(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(rf"{PREFIX}[a-z]+(_[a-z]+)*", name)
    units = UNITS[metric.kind]
    assert units is None or name.rpartition("_")[2] in units
    assert metric.help_text.endswith(".")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_values_of_a_label_are_few_and_known(name: str) -> None:
    metric = METRICS[name]
    assert metric.label != "process"  # every series has that one
    assert 0 < len(metric.values) <= MAX_LABEL_VALUES


@pytest.mark.parametrize("histogram", [it for it in METRICS.values() if isinstance(it, Histogram)])
def test_the_bounds_of_buckets_rise(histogram: Histogram) -> None:
    assert all(low < high for low, high in pairwise(histogram.bounds))


def test_a_counter_shows_every_value_before_it_has_counted() -> None:
    counter = Counter("things_total", "Things.", "kind", ("big", "small"))
    counter.add("big")
    counter.add("big", 2)
    assert dict(counter.series()) == {"big": [3], "small": [0]}


def test_an_unknown_value_is_counted_as_another_one() -> None:
    counter = Counter("things_total", "Things.", "kind", ("big",))
    counter.add("conversation-1")
    counter.add("conversation-2")
    histogram = Histogram("sizes", "Sizes.", (1,), "kind", ("big",))
    histogram.observe(1, "conversation-3")
    gauge = Gauge("levels", "Levels.", "kind", ("big",))
    gauge.set(4, "conversation-4")
    assert counter.count(OTHER) == 2
    assert histogram.count(OTHER) == 1
    assert dict(gauge.series()) == {OTHER: [4]}


def test_a_bucket_takes_what_is_at_most_its_bound() -> None:
    histogram = Histogram("sizes", "Sizes.", (1, 2))
    for amount in (0.5, 1, 1.5, 2, 2.5):
        histogram.observe(amount)
    assert dict(histogram.series()) == {"": [2, 2, 1, 7.5]}
    assert histogram.count() == 5


def test_a_gauge_shows_nothing_before_it_is_set() -> None:
    gauge = Gauge("level", "Level.")
    assert figures_of([gauge]) == {}
    gauge.set(3)
    assert figures_of([gauge]) == {"level": {"": [3]}}


def test_every_metric_belongs_to_a_process_under_a_name_of_its_own() -> None:
    defined = [it for it in vars(metrics).values() if isinstance(it, Metric)]
    assert sorted(it.name for it in defined) == sorted(METRICS)


def test_figures_travel() -> None:
    TURNS.add("failed")
    figures = figures_of(HOST)
    assert decode_figures(encode_figures(figures)) == figures
    assert decode_figures(encode_figures({"of_a_later_release": {"": [1.0]}})) == {}
    assert decode_figures(b"") == {}


class _Exporter:
    def __init__(self) -> None:
        self.exported: asyncio.Queue[Figures] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def export(self, figures: Figures) -> None:
        self._loop.call_soon_threadsafe(self.exported.put_nowait, figures)


async def test_a_process_notes_its_lag_and_hands_out_its_figures() -> None:
    exporter = _Exporter()
    lags = LOOP_LAG.count()
    task = asyncio.create_task(watch_process(lambda: figures_of([LOOP_LAG]), exporter))
    figures = await exporter.exported.get()
    task.cancel()
    assert sum(figures[LOOP_LAG.name][""][:-1]) > lags
