"""What the product adds to the latency of a message: the open loop, over the ceiling's own."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.closed_loop import send_closed_loop
from benchmarks.endpoint import Endpoint
from benchmarks.lock_times import LockTimes, lock_times
from benchmarks.open_loop import OpenLoop, send_open_loop
from benchmarks.product import product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds
from benchmarks.systems import DELAY_MS, ceiling, stubs

__all__ = ["MEASUREMENTS"]

LIGHT = "8 in flight"
HALF = "half of peak"
ACCEPT = "/chat/message, 8 in flight"
IN_FLIGHT = 8
STUBS_SECONDS = 2 * DELAY_MS / 1000
PEAK_IN_FLIGHT = 512
REST_SECONDS = 2
"""Between two messages of one conversation. All of them are active after the warm-up."""
PRODUCT = "product"
CEILING = ceiling(2)

Samples = defaultdict[tuple[str, str], list[OpenLoop]]


def measure_latency(run: Run) -> Outcome:
    """Send the same schedules to both, at light load and at half of the product's peak."""
    samples: Samples = defaultdict(list)
    locks: list[LockTimes] = []
    peak = 0.0
    with stubs(run) as both:
        for _ in range(run.rounds):
            with product(run, both.ai_url, both.platform_url) as running:
                endpoint = running.endpoint
                with lock_times(running.addresses.redis_url or "", 2 * run.seconds) as lock:
                    _send(run, endpoint, samples, LIGHT, _light_rate())
                locks.append(lock)
                _send(run, endpoint.accepting(), samples, ACCEPT, _light_rate())
                peak = peak or _peak(run, endpoint)
                _send(run, endpoint, samples, HALF, peak / 2)
            with CEILING.start(run, both) as endpoint:
                _send(run, endpoint, samples, LIGHT, _light_rate())
                _send(run, endpoint, samples, HALF, peak / 2)
    results = [
        _added(samples, LIGHT, "p50_ms", 10),
        _added(samples, LIGHT, "p99_ms", 30),
        _added(samples, HALF, "p99_ms", 100),
    ]
    accepts = Rounds.of([it.p99_ms for it in samples[PRODUCT, ACCEPT]])
    acquired = Rounds.of([it.p99_ms for it in locks])
    results += [
        _result(f"lock acquisition, p99, {LIGHT}", acquired, 10),
        _result(f"job creation ({ACCEPT}), p99", accepts, 50),
    ]
    return Outcome(results, [_table(samples, peak)])


def _peak(run: Run, endpoint: Endpoint) -> float:
    """Return about the most that goes through."""
    seconds = run.warm_up_seconds
    found = send_closed_loop(endpoint, PEAK_IN_FLIGHT, seconds, warm_up_seconds=seconds)
    run.say(f"  peak: {found.per_second:,.0f}/s")
    return found.per_second


def _light_rate() -> float:
    return IN_FLIGHT / STUBS_SECONDS


def _send(run: Run, endpoint: Endpoint, samples: Samples, load: str, rate: float) -> None:
    found = send_open_loop(
        endpoint,
        rate,
        2 * run.seconds,
        warm_up_seconds=run.warm_up_seconds,
        conversations=int(rate * REST_SECONDS),
    )
    samples[endpoint.name, load].append(found)
    run.say(
        f"  {endpoint.name}, {load}, {rate:.0f}/s: p50 {found.p50_ms:.1f}, p99 {found.p99_ms:.1f}, "
        f"p99.9 {found.p999_ms:.1f} ms; the generator's lag p99 {found.lag_p99_ms:.1f} ms"
    )


def _added(samples: Samples, load: str, figure: str, most_ms: float) -> Result:
    pairs = zip(samples[PRODUCT, load], samples[CEILING.name, load], strict=True)
    added = Rounds.of([getattr(ours, figure) - getattr(theirs, figure) for ours, theirs in pairs])
    name = f"added latency, {figure.removesuffix('_ms')}, {load}"
    return _result(name, added, most_ms)


def _result(name: str, found: Rounds, most_ms: float) -> Result:
    return Result(
        name, found.median, "ms", low=found.low, high=found.high, least=most_ms, good="low"
    )


def _table(samples: Samples, peak: float) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for (system, load), found in samples.items():
        figures = ("p50_ms", "p99_ms", "p999_ms", "lag_p99_ms")
        cells = [str(Rounds.of([getattr(it, figure) for it in found])) for figure in figures]
        rows.append((f"{system}, {load}", found[0].requests, *cells))
    return Table(
        "Latency in the open loop, ms",
        ("", "requests", "p50", "p99", "p99.9", "the generator's lag, p99"),
        rows,
        f"{DELAY_MS:.0f} ms of AI and {DELAY_MS:.0f} ms of platform are part of it (not of "
        f"/chat/message). 8 in flight are {_light_rate():.0f} messages a second; the product's "
        f"peak, with {PEAK_IN_FLIGHT} in flight, was {peak:,.0f} a second.",
    )


MEASUREMENTS = (
    Measurement("latency", "latency over the ceiling's own, at two loads", measure_latency),
)
