"""All measurements, in the order in which they run and are reported."""

from __future__ import annotations

from benchmarks import (
    accepts,
    actors,
    against_ceiling,
    hosts,
    latency,
    parts,
    processor,
    throughput,
)
from benchmarks.result import Measurement

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: tuple[Measurement, ...] = (
    *against_ceiling.MEASUREMENTS,
    *throughput.MEASUREMENTS,
    *latency.MEASUREMENTS,
    *accepts.MEASUREMENTS,
    *processor.MEASUREMENTS,
    *parts.MEASUREMENTS,
    *hosts.MEASUREMENTS,
    *actors.MEASUREMENTS,
)
