"""Messages a second through the synchronous endpoint, by requests in flight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.closed_loop import ClosedLoop, send_closed_loop
from benchmarks.result import Curve, Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds, ratios
from benchmarks.systems import (
    System,
    ceiling,
    lock_per_request,
    product_system,
    stubs,
)

__all__ = ["MEASUREMENTS"]

LEVELS = (1, 16, 64, 256, 512, 1024)
QUICK_LEVELS = (256, 512)

Samples = Mapping[tuple[str, int], list[ClosedLoop]]

PRODUCT = product_system()
CEILING = ceiling(2)
ONE_WORKER = ceiling(1)
PLAIN_LOCK = lock_per_request(1, is_tuned=False)
PLAIN_LOCK_TWO = lock_per_request(2, is_tuned=False)
TUNED_LOCK = lock_per_request(2, is_tuned=True)
TUNED_LOCK_ONE = lock_per_request(1, is_tuned=True)
SLOW = (PLAIN_LOCK, PLAIN_LOCK_TWO)
SLOW_SECONDS = 20
"""Their answers take several seconds each when there are many in flight."""


def measure_throughput(run: Run) -> Outcome:
    """Compare the product with everything else, each started afresh in each round."""
    samples = _samples(run, _plan(run))
    results = [
        _ratio(samples, PLAIN_LOCK, 256, least=15),
        _ratio(samples, TUNED_LOCK, 256, least=2.5),
    ]
    names = list(dict.fromkeys(name for name, _ in samples))
    curves = [Curve(name, _points(samples, name)) for name in names]
    return Outcome(
        results,
        [_table(samples, names, "per_second"), _table(samples, names, "p50_ms")],
        [curve for curve in curves if len(curve.points) > 1],
    )


def _plan(run: Run) -> list[tuple[System, Sequence[int]]]:
    levels = QUICK_LEVELS if run.quick else LEVELS
    plan: list[tuple[System, Sequence[int]]] = [
        (CEILING, levels),
        (PRODUCT, levels),
        (PLAIN_LOCK, (256,)),
        (TUNED_LOCK, (256,) if run.quick else (64, 256, 512)),
    ]
    if not run.quick:
        plan += [(ONE_WORKER, (64, 256)), (PLAIN_LOCK_TWO, (256,)), (TUNED_LOCK_ONE, (256,))]
    return plan


def _samples(run: Run, plan: Sequence[tuple[System, Sequence[int]]]) -> Samples:
    """Measure everything in the plan, round after round."""
    samples: defaultdict[tuple[str, int], list[ClosedLoop]] = defaultdict(list)
    with stubs(run) as both:
        for number in range(run.rounds):
            for system, levels in plan:
                with system.start(run, both) as endpoint:
                    for level in levels:
                        found = send_closed_loop(
                            endpoint,
                            level,
                            SLOW_SECONDS if system in SLOW else run.seconds,
                            warm_up_seconds=run.warm_up_seconds,
                        )
                        samples[system.name, level].append(found)
                        run.say(
                            f"  round {number + 1}: {system.name}, {level} in flight: "
                            f"{found.per_second:,.0f}/s, p50 {found.p50_ms:,.0f} ms"
                        )
    return samples


def _ratio(samples: Samples, other: System, level: int, least: float) -> Result:
    found = ratios(
        [it.per_second for it in samples[PRODUCT.name, level]],
        [it.per_second for it in samples[other.name, level]],
    )
    name = f"throughput at {level} in flight / {other.name}"
    return Result(name, found.median, "×", low=found.low, high=found.high, least=least)


def _points(samples: Samples, name: str) -> list[tuple[int, float]]:
    return [
        (level, Rounds.of([it.per_second for it in found]).median)
        for (whose, level), found in samples.items()
        if whose == name
    ]


def _table(samples: Samples, names: Sequence[str], figure: str) -> Table:
    levels = sorted({level for _, level in samples})
    rows = []
    for name in names:
        cells = []
        for level in levels:
            found = samples.get((name, level))
            cells.append(str(Rounds.of([getattr(it, figure) for it in found])) if found else "")
        rows.append((name, *cells))
    title = {"per_second": "Requests a second", "p50_ms": "Median latency in the closed loop, ms"}
    return Table(f"{title[figure]}, by requests in flight", ("", *map(str, levels)), rows)


MEASUREMENTS = (
    Measurement("throughput", "requests a second by requests in flight", measure_throughput),
)
