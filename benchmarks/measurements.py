"""All measurements, in the order in which they run and are reported."""

from __future__ import annotations

from benchmarks import parts
from benchmarks.result import Measurement

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: tuple[Measurement, ...] = (*parts.MEASUREMENTS,)
