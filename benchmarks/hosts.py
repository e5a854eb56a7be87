"""Throughput with 1, 2 and 4 hosts: where hosts are the limit, and where their AI calls are."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.accepts import set_ai_delay
from benchmarks.closed_loop import send_closed_loop
from benchmarks.product import product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds, ratios
from benchmarks.systems import stubs

__all__ = ["MEASUREMENTS"]

HOSTS = (1, 2, 4)
IN_FLIGHT = 512
AI_CALLS = 64
"""At a time, of one host."""
SLOW_MS = 1000


def measure_hosts(run: Run) -> Outcome:
    """Measure both on each start."""
    fast: defaultdict[int, list[float]] = defaultdict(list)
    slow: defaultdict[int, list[float]] = defaultdict(list)
    with stubs(run, ai_delay_ms=0) as both:
        for _ in range(run.rounds):
            for hosts in HOSTS:
                settings = {
                    "CONVERSATION_HOSTS": str(hosts),
                    "AI_MAX_CONCURRENCY": str(AI_CALLS),
                }
                with product(run, both.ai_url, both.platform_url, settings) as running:
                    for delay_ms, found in ((0, fast), (SLOW_MS, slow)):
                        set_ai_delay(both.ai_url, delay_ms)
                        rate = send_closed_loop(
                            running.endpoint,
                            IN_FLIGHT,
                            run.seconds,
                            warm_up_seconds=run.warm_up_seconds,
                        ).per_second
                        found[hosts].append(rate)
                        run.say(f"  {hosts} hosts, AI of {delay_ms} ms: {rate:,.0f}/s")
    results = []
    for fewer, more in ((1, 2), (2, 4)):
        growth = ratios(slow[more], slow[fewer])
        results.append(
            Result(
                f"throughput with {more} hosts / {fewer}, AI of 1 s, {AI_CALLS} calls each",
                growth.median,
                "×",
                low=growth.low,
                high=growth.high,
                least=1.5,
            )
        )
    rows = [
        (f"{hosts} hosts", str(Rounds.of(fast[hosts])), str(Rounds.of(slow[hosts])))
        for hosts in HOSTS
    ]
    columns = ("", "AI of 0 ms", f"AI of 1 s, {AI_CALLS} calls of a host at a time")
    title = f"Messages a second by the number of hosts, {IN_FLIGHT} in flight"
    return Outcome(results, [Table(title, columns, rows)])


MEASUREMENTS = (Measurement("hosts", "throughput with 1, 2 and 4 hosts", measure_hosts),)
