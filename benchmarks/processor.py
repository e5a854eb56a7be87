"""Processor time for a message, split by process, with few and with very many messages stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.closed_loop import ClosedLoop, send_closed_loop
from benchmarks.fill import count_messages, fill
from benchmarks.processor_time import PARTS, PRODUCT_PARTS
from benchmarks.product import Product, product
from benchmarks.programs import requests_of
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
"""After it the active conversations have a whole context (20 messages), both with few
and with many stored: what the AI is sent costs the same."""
MOST_MS = 1.8
MOST_GROWTH = 1.15

SLICE_SECONDS = 3
SLICES = 4
"""In a round. Few and many take turns so often that what the machine does differently from one
moment to the next falls on both."""

Microseconds = dict[str, float]


@dataclass
class _Kind:
    """A product with few messages stored, or one with many, and what was found."""

    name: str
    running: Product
    stored: int
    found: list[Microseconds] = field(default_factory=list)


def measure_processor(run: Run) -> Outcome:
    """Measure two products side by side, of which only one has work at a time."""
    wanted = QUICK_MANY if run.quick else MANY
    empty, full = run.folder("empty"), run.folder("full")
    with stubs(run) as both:
        _fill(run, both, full, wanted)
        with (
            product(run, both.ai_url, both.platform_url, data=empty) as few,
            product(run, both.ai_url, both.platform_url, data=full) as many,
        ):
            kinds = [_Kind(name, it, _count(it)) for name, it in (("few", few), ("many", many))]
            for kind in kinds:
                _load(kind.running, run.warm_up_seconds if run.quick else FULL_CONTEXT_SECONDS)
            for _ in range(run.rounds * SLICES):
                for kind in kinds:
                    kind.found.append(_measure(run, both, kind))
    run.discard(empty)
    run.discard(full)
    return _outcome(kinds[0], kinds[1], wanted)


def _fill(run: Run, both: Stubs, data: Path, many: int) -> None:
    with product(run, both.ai_url, both.platform_url, data=data) as running:
        run.say(f"  storing {many:,} messages")
        fill(running.addresses.database_url or "", many, PREFIX, ACTIVE)


def _count(running: Product) -> int:
    return count_messages(running.addresses.database_url or "")


def _measure(run: Run, both: Stubs, kind: _Kind) -> Microseconds:
    """What the AI was asked counts: that includes what was in flight when the clock ran out."""
    asked = requests_of(both.ai_url)
    before = kind.running.processor_seconds()
    found = _load(kind.running, SLICE_SECONDS)
    after = kind.running.processor_seconds()
    messages = requests_of(both.ai_url) - asked
    spent = {part: (after[part] - before[part]) / messages * 1e6 for part in PARTS}
    shown = ", ".join(f"{part} {spent[part]:,.0f}" for part in PARTS)
    run.say(
        f"  {kind.name} stored: {found.per_second:,.0f}/s, {_total(spent):,.0f} µs a message "
        f"({shown})"
    )
    return spent


def _load(running: Product, seconds: int) -> ClosedLoop:
    return send_closed_loop(
        running.endpoint, IN_FLIGHT, seconds, conversations=ACTIVE, prefix=PREFIX
    )


def _total(spent: Microseconds) -> float:
    return sum(spent[part] for part in PRODUCT_PARTS)


def _outcome(few: _Kind, many: _Kind, wanted: int) -> Outcome:
    totals = [[_total(spent) for spent in kind.found] for kind in (few, many)]
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
        (part, *(str(Rounds.of([it[part] for it in kind.found])) for kind in (few, many)))
        for part in PARTS
    ]
    rows.append(("all but the last two", *(str(Rounds.of(total)) for total in totals)))
    columns = ("", f"{few.stored:,}", f"{many.stored:,}")
    note = (
        f"{IN_FLIGHT} messages in flight, the same {ACTIVE:,} conversations, whose contexts are "
        f"full; stubs and load are not counted. Both run at the same time and get messages in "
        f"turn, for {SLICE_SECONDS} seconds each."
    )
    title = "Processor time of a message, µs, by messages stored at the start"
    return Outcome(results, [Table(title, columns, rows, note)])


MEASUREMENTS = (
    Measurement("processor", "processor time for a message, by process", measure_processor),
)
