"""Components by themselves, each against the fastest and the plainest way to do the same."""

from __future__ import annotations

from benchmarks.parts.activation import measure_activation
from benchmarks.parts.hot import measure_hot
from benchmarks.parts.idle import measure_idle
from benchmarks.parts.renewals import measure_renewals
from benchmarks.parts.writer import measure_writer
from benchmarks.result import Measurement

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("writer", "rows through the storage writer", measure_writer),
    Measurement("activation", "conversations that come back to memory", measure_activation),
    Measurement("idle", "a host full of idle conversations", measure_idle),
    Measurement("hot", "one hot conversation", measure_hot),
    Measurement("renewals", "lease renewals", measure_renewals),
)
