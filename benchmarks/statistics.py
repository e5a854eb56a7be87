"""Medians, spreads and percentiles of what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

__all__ = ["Rounds", "percentile", "ratios", "shown"]


class Rounds(NamedTuple):
    """The same figure of several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Rounds:
        """Sum up the rounds; there must be one at least."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        if self.low == self.high:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.low)} – {shown(self.high)})"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest of the ordered values that ``percent`` of them do not exceed."""
    if not ordered:
        raise ValueError("no values")
    place = math.ceil(len(ordered) * percent / 100)
    return ordered[max(place, 1) - 1]


def ratios(values: Sequence[float], others: Sequence[float]) -> Rounds:
    """Return how the medians of two series compare, and the extremes of round against round."""
    pairs = [value / other for value, other in zip(values, others, strict=True)]
    return Rounds(median(values) / median(others), min(pairs), max(pairs))


def shown(value: float) -> str:
    """Return a figure as a reader wants it: three digits, or a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
