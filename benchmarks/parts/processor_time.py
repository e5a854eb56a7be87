"""How much processor time processes have used, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["processor_seconds"]

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process_id: int) -> float:
    """Return what a process and its children have used so far, ended children included."""
    total = _own(process_id, with_ended=True)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == process_id:
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _own(process_id: int, *, with_ended: bool) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    used = fields[11:15] if with_ended else fields[11:13]
    return sum(int(field) for field in used) / _TICKS
