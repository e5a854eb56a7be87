"""Components by themselves, each against the fastest and the plainest way to do the same."""

from __future__ import annotations

from benchmarks.result import Measurement

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: tuple[Measurement, ...] = ()
