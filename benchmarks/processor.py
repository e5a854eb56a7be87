"""Processor time for a message, split by process, with few and with very many messages stored."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from benchmarks.closed_loop import ClosedLoop, send_closed_loop
from benchmarks.fill import count_messages, fill
from benchmarks.processor_time import PARTS, PRODUCT_PARTS
from benchmarks.product import Product, product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds, ratios
from benchmarks.systems import Stubs, stubs

__all__ = ["MEASUREMENTS"]

MANY = 1_000_000
QUICK_MANY = 100_000
ACTIVE = 1_000
PREFIX = "active"
IN_FLIGHT = 256
FULL_CONTEXT_SECONDS = 12
"""After it the active conversations of a start have a whole context (20 messages), both with few
and with many stored: what the AI is sent costs the same."""
MOST_MS = 1.8
MOST_GROWTH = 1.15

Microseconds = dict[str, float]


def measure_processor(run: Run) -> Outcome:
    """Measure with an empty database and with a full one, in turn."""
    many = QUICK_MANY if run.quick else MANY
    few_found: list[Microseconds] = []
    many_found: list[Microseconds] = []
    stored: defaultdict[str, list[int]] = defaultdict(list)
    full = run.folder("full")
    with stubs(run) as both:
        _fill(run, both, full, many)
        for _ in range(run.rounds):
            empty = run.folder("empty")
            for name, data, found in (("few", empty, few_found), ("many", full, many_found)):
                with product(run, both.ai_url, both.platform_url, data=data) as running:
                    stored[name].append(_count(running))
                    found.append(_measure(run, running, f"{name} stored"))
            run.discard(empty)
    run.discard(full)
    return _outcome(few_found, many_found, stored, many)


def _fill(run: Run, both: Stubs, data: Path, many: int) -> None:
    with product(run, both.ai_url, both.platform_url, data=data) as running:
        run.say(f"  storing {many:,} messages")
        fill(running.addresses.database_url or "", many, PREFIX, ACTIVE)


def _count(running: Product) -> int:
    return count_messages(running.addresses.database_url or "")


def _measure(run: Run, running: Product, name: str) -> Microseconds:
    _load(running, run.warm_up_seconds if run.quick else FULL_CONTEXT_SECONDS)
    before = running.processor_seconds()
    found = _load(running, run.seconds)
    after = running.processor_seconds()
    spent = {part: (after[part] - before[part]) / found.answers * 1e6 for part in PARTS}
    total = sum(spent[part] for part in PRODUCT_PARTS)
    shown = ", ".join(f"{part} {spent[part]:,.0f}" for part in PARTS)
    run.say(f"  {name}: {found.per_second:,.0f}/s, {total:,.0f} µs a message ({shown})")
    return spent


def _load(running: Product, seconds: int) -> ClosedLoop:
    return send_closed_loop(
        running.endpoint, IN_FLIGHT, seconds, conversations=ACTIVE, prefix=PREFIX
    )


def _outcome(
    few: list[Microseconds], many: list[Microseconds], stored: dict[str, list[int]], wanted: int
) -> Outcome:
    totals = [[sum(it[part] for part in PRODUCT_PARTS) for it in found] for found in (few, many)]
    milliseconds = Rounds.of([it / 1000 for it in totals[1]])
    growth = ratios(totals[1], totals[0])
    results = [
        Result(
            f"processor time of a message, {wanted:,} stored",
            milliseconds.median,
            "ms",
            low=milliseconds.low,
            high=milliseconds.high,
            least=MOST_MS,
            good="low",
            note=f"{', '.join(PRODUCT_PARTS)} together",
        ),
        Result(
            f"processor time of a message, {wanted:,} stored / few",
            growth.median,
            "×",
            low=growth.low,
            high=growth.high,
            least=MOST_GROWTH,
            good="low",
        ),
    ]
    rows = [
        (part, *(str(Rounds.of([it[part] for it in found])) for found in (few, many)))
        for part in PARTS
    ]
    rows.append(("all but the last two", *(str(Rounds.of(total)) for total in totals)))
    columns = ("", *(_stored(stored[name]) for name in ("few", "many")))
    note = (
        f"{IN_FLIGHT} messages in flight, the same {ACTIVE:,} conversations, whose contexts are "
        "full; stubs and load are not counted."
    )
    title = "Processor time of a message, µs, by messages stored at the start"
    return Outcome(results, [Table(title, columns, rows, note)])


def _stored(counts: list[int]) -> str:
    return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} or more"


MEASUREMENTS = (
    Measurement("processor", "processor time for a message, by process", measure_processor),
)
