"""How close the product comes to the ceiling: both run, and get messages in turn."""

from __future__ import annotations

from benchmarks.closed_loop import send_closed_loop
from benchmarks.endpoint import Endpoint
from benchmarks.product import Product, product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds
from benchmarks.systems import ceiling, stubs

__all__ = ["MEASUREMENTS"]

CEILING = ceiling(2)
TARGETS = {512: (0.75, 0.85), 256: (0.65, 0.75)}
"""By requests in flight: what must hold, and the aim."""
SLICE_SECONDS = 4
WARM_UP_SECONDS = 2
SLICES = 3
"""In a round. They take turns so often that what the machine does differently from one moment to
the next falls on both."""

Pairs = list[tuple[float, float]]
"""Requests a second, the product's and the ceiling's, one right after the other."""


def measure_against_ceiling(run: Run) -> Outcome:
    """Measure slices of both in turn; the product stands still while it is the ceiling's."""
    pairs: dict[int, Pairs] = {level: [] for level in TARGETS}
    for _ in range(run.rounds):
        with (
            stubs(run) as both,
            product(run, both.ai_url, both.platform_url) as running,
            CEILING.start(run, both) as endpoint,
        ):
            for level, found in pairs.items():
                _measure(run.warm_up_seconds, running.endpoint, level)
                for _ in range(SLICES):
                    found.append(_pair(running, endpoint, level))
                    ours, theirs = found[-1]
                    run.say(
                        f"  {level} in flight: product {ours:,.0f}/s, ceiling {theirs:,.0f}/s, "
                        f"{ours / theirs:.2f} ×"
                    )
        run.discard(running.data)
    return Outcome([_result(level, found) for level, found in pairs.items()], [_table(pairs)])


def _pair(running: Product, endpoint: Endpoint, level: int) -> tuple[float, float]:
    with running.paused():
        theirs = _measure(SLICE_SECONDS, endpoint, level)
    return _measure(SLICE_SECONDS, running.endpoint, level), theirs


def _measure(seconds: int, endpoint: Endpoint, level: int) -> float:
    found = send_closed_loop(
        endpoint, level, seconds, warm_up_seconds=WARM_UP_SECONDS, prefix=f"both-{level}"
    )
    return found.per_second


def _result(level: int, pairs: Pairs) -> Result:
    found = Rounds.of([ours / theirs for ours, theirs in pairs])
    least, aim = TARGETS[level]
    name = f"throughput at {level} in flight / {CEILING.name}"
    return Result(name, found.median, "×", low=found.low, high=found.high, least=least, aim=aim)


def _table(pairs: dict[int, Pairs]) -> Table:
    rows = []
    for level, found in pairs.items():
        ours, theirs = (Rounds.of(column) for column in zip(*found, strict=True))
        rows.append((f"{level} in flight", str(ours), str(theirs)))
    note = (
        f"In turn, {SLICE_SECONDS} seconds each; the ratios are those of neighbours. The "
        "product's processes are stopped (SIGSTOP) while the ceiling is measured."
    )
    return Table(
        "Product and ceiling, requests a second", ("", "product", CEILING.name), rows, note
    )


MEASUREMENTS = (
    Measurement("ceiling", "how close it comes to the ceiling, in turn", measure_against_ceiling),
)
