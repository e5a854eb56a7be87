"""The report: ratios against their targets first, then the tables behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chart import draw_chart
from benchmarks.result import Curve, Measurement, Outcome, Result, Table
from benchmarks.statistics import shown

__all__ = ["Report"]

COLUMNS = ("", "measured", "rounds", "must be", "holds", "aim", "reached")
CHART = "throughput.svg"


@dataclass
class Report:
    """What was found so far."""

    machine: Mapping[str, str]
    is_quick: bool = False
    seconds: float = 0.0
    """How long it has taken."""
    failures: dict[str, str] = field(default_factory=dict)
    """What could not be measured, or not yet, and why."""
    _found: list[tuple[Measurement, Outcome]] = field(default_factory=list)

    def add(self, measurement: Measurement, outcome: Outcome) -> None:
        """Take in what a measurement found."""
        self._found.append((measurement, outcome))
        self.failures.pop(measurement.name, None)

    def add_failure(self, measurement: Measurement, error: Exception) -> None:
        """Take in that a measurement could not be made."""
        self.failures[measurement.name] = f"{type(error).__name__}: {error}"

    def as_text(self) -> str:
        """Return it for a terminal."""
        parts = ["", _aligned(COLUMNS, [_result_row(it) for it in self._results])]
        for table in self._tables:
            rows = [[_cell(cell) for cell in row] for row in table.rows]
            parts += ["", table.title, _aligned(table.columns, rows)]
            parts += [table.note] if table.note else []
        parts += [f"NOT MEASURED  {name}: {error}" for name, error in self.failures.items()]
        return "\n".join(parts)

    def write(self, folder: Path) -> None:
        """Write ``RESULTS.md`` and the chart."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._curves:
            draw_chart(self._curves, folder / CHART)
        folder.joinpath("RESULTS.md").write_text(self.as_markdown())

    def as_markdown(self) -> str:
        """Return it for a page."""
        lines = ["# Results", "", self._introduction(), ""]
        if self._results:
            lines += ["## Against the targets", ""]
            lines += [_markdown(COLUMNS, [_result_row(it) for it in self._results]), ""]
            lines += [f"- {it.name}: {it.note}" for it in self._results if it.note]
            lines += [""]
        if self._curves:
            lines += [f"![Requests a second by requests in flight]({CHART})", ""]
        for table in self._tables:
            rows = [[_cell(cell) for cell in row] for row in table.rows]
            lines += [f"## {table.title}", "", _markdown(table.columns, rows), ""]
            lines += [table.note, ""] if table.note else []
        if self.failures:
            lines += ["## Not measured", ""]
            lines += [f"- {name}: {error}" for name, error in self.failures.items()] + [""]
        rows = [[name, value] for name, value in self.machine.items()]
        lines += ["## Machine and versions", "", _markdown(("", ""), rows), ""]
        return "\n".join(lines)

    def _introduction(self) -> str:
        kind = (
            "**A quick run (one short round of each): it shows that everything works, not how fast "
            "it is.** Written by `make bench ARGS=--quick`"
            if self.is_quick
            else "Written by `make bench`"
        )
        day = datetime.now(UTC).date().isoformat()
        return (
            f"{kind} on {day}, in {self.seconds / 60:.0f} minutes. Everything runs on one machine: "
            "load, stubs, servers. [README.md](README.md) says what is compared and how; each "
            "figure is the median of its rounds, with the smallest and the largest beside it."
        )

    @property
    def _results(self) -> list[Result]:
        return [it for _, outcome in self._found for it in outcome.results]

    @property
    def _tables(self) -> list[Table]:
        return [it for _, outcome in self._found for it in outcome.tables]

    @property
    def _curves(self) -> list[Curve]:
        return [it for _, outcome in self._found for it in outcome.curves]


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else shown(value)


def _result_row(result: Result) -> list[str]:
    sign = "≥" if result.good == "high" else "≤"
    return [
        result.name,
        f"{shown(result.value)} {result.unit}".rstrip(),
        _spread(result),
        *_target(sign, result.least, result.holds),
        *_target(sign, result.aim, result.reaches_aim),
    ]


def _spread(result: Result) -> str:
    if result.low is None or result.high is None or result.low == result.high:
        return ""
    return f"{shown(result.low)} – {shown(result.high)}"


def _target(sign: str, target: float | None, is_met: bool | None) -> tuple[str, str]:
    if target is None:
        return "", ""
    return f"{sign} {shown(target)}", "yes" if is_met else "**no**"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(columns), ["---"] + ["--:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    plain = [[cell.replace("*", "") for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[place]) for row in plain) for place in range(len(columns))]
    return "\n".join(_line(row, widths) for row in plain)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([first, *others]).rstrip()
