"""What a measurement found: results against their targets, tables, curves for the chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks.run import Run

__all__ = ["Curve", "Measurement", "Outcome", "Result", "Table"]


@dataclass(frozen=True, kw_only=True)
class _Targets:
    low: float | None = None
    """The smallest and the largest of the rounds; None: there was one round."""
    high: float | None = None
    least: float | None = None
    """What must hold; None: nothing must."""
    aim: float | None = None
    """The goal, where it is another than ``least``."""
    good: Literal["high", "low"] = "high"
    """Which values are the good ones: a target is a minimum or a maximum."""
    note: str = ""


@dataclass(frozen=True)
class Result(_Targets):
    """One number that is compared with a target, or worth reading without one.

    ``value`` is the median of the rounds, in ``unit`` (``×`` for a ratio).
    """

    name: str
    value: float
    unit: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether ``least`` is met; None without one."""
        return self._meets(self.least)

    @property
    def reaches_aim(self) -> bool | None:
        """Whether ``aim`` is met; None without one."""
        return self._meets(self.aim)

    def _meets(self, target: float | None) -> bool | None:
        if target is None:
            return None
        return self.value >= target if self.good == "high" else self.value <= target


@dataclass(frozen=True)
class Table:
    """Figures behind the results. Numbers are shown with three digits or as whole numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One line of the chart: requests a second by requests in flight."""

    name: str
    points: Sequence[tuple[int, float]]


@dataclass
class Outcome:
    """All that a measurement found."""

    results: list[Result] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


@dataclass(frozen=True)
class Measurement:
    """A function with the name that ``--only`` takes and a title for the report."""

    name: str
    title: str
    measure: Callable[[Run], Outcome]
