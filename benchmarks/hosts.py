"""Throughput with 1, 2 and 4 hosts: where hosts are the limit, and where their AI calls are."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.accepts import set_ai_delay
from benchmarks.closed_loop import send_closed_loop
from benchmarks.product import Product, product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.systems import stubs

__all__ = ["MEASUREMENTS"]

HOSTS = (1, 2, 4)
FAST_IN_FLIGHT = 512
SLOW_IN_FLIGHT = 512
SLOW_SECONDS = 10
AI_CALLS = 64
"""At a time, of one host."""
SLOW_MS = 1000


def measure_hosts(run: Run) -> Outcome:
    """Measure both on each start."""
    fast: dict[int, float] = {}
    slow: dict[int, float] = {}
    with stubs(run) as both:
        for hosts in HOSTS:  # once: the steps are large, and starts take long
            settings = {"CONVERSATION_HOSTS": str(hosts), "AI_MAX_CONCURRENCY": str(AI_CALLS)}
            with product(run, both.ai_url, both.platform_url, settings) as running:
                set_ai_delay(both.ai_url, 0)
                fast[hosts] = _fast(run, running)
                set_ai_delay(both.ai_url, SLOW_MS)
                slow[hosts] = _slow(running)
            run.say(f"  {hosts}: AI of 0 ms {fast[hosts]:,.0f}/s, of 1 s {slow[hosts]:,.0f}/s")
    return _outcome(fast, slow)


def _fast(run: Run, running: Product) -> float:
    return send_closed_loop(
        running.endpoint, FAST_IN_FLIGHT, run.seconds, warm_up_seconds=run.warm_up_seconds
    ).per_second


def _slow(running: Product) -> float:
    # So many that no host runs out of work. No warm-up: what it leaves behind would wait for long.
    return send_closed_loop(running.endpoint, SLOW_IN_FLIGHT, SLOW_SECONDS).per_second


def _outcome(fast: dict[int, float], slow: dict[int, float]) -> Outcome:
    results = [
        Result(
            f"throughput with {more} hosts / {fewer}, AI of 1 s, {AI_CALLS} calls each",
            slow[more] / slow[fewer],
            "×",
            least=1.2,
        )
        for fewer, more in pairwise(HOSTS)
    ]
    rows = [(str(hosts), fast[hosts], slow[hosts]) for hosts in HOSTS]
    columns = (
        "hosts",
        f"AI of 0 ms, {FAST_IN_FLIGHT} in flight",
        f"AI of 1 s, {SLOW_IN_FLIGHT} in flight, {AI_CALLS} AI calls of a host at a time",
    )
    title = "Messages a second by the number of hosts"
    return Outcome(results, [Table(title, columns, rows)])


MEASUREMENTS = (Measurement("hosts", "throughput with 1, 2 and 4 hosts", measure_hosts),)
