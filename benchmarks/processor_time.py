"""Processor time by what spent it: ``/proc``'s user and system time, summed over a process tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["PARTS", "PRODUCT_PARTS", "processes_of", "processor_seconds"]

PRODUCT_PARTS = ("ingress", "hosts", "writer", "database", "Redis")
"""What a message goes through."""
PARTS = (*PRODUCT_PARTS, "supervisor", "Ray's own")
_BY_TITLE = {
    "ray::ConversationHost": "hosts",
    "ray::StorageWriter": "writer",
    "ray::Supervisor": "supervisor",
}


def processor_seconds(root: psutil.Process, data: Path) -> dict[str, float]:
    """Return the seconds that each part of a running product has used since it started."""
    spent = dict.fromkeys(PARTS, 0.0)
    for process in processes_of(root, data):
        try:
            part = "ingress" if process.pid == root.pid else _part(process)
            times = process.cpu_times()
            spent[part] += times.user + times.system
            if part == "database":
                spent[part] += times.children_user + times.children_system  # sessions that ended
        except psutil.NoSuchProcess:
            continue
    return spent


def processes_of(root: psutil.Process, data: Path) -> Iterator[psutil.Process]:
    """Yield all processes of a product, its servers (by its data folder) among them."""
    family = {process.pid: process for process in (root, *root.children(recursive=True))}
    for process in psutil.process_iter():
        if process.pid not in family and str(data) in _command_line(process):
            family[process.pid] = process
            family.update({child.pid: child for child in process.children(recursive=True)})
    yield from family.values()


def _part(process: psutil.Process) -> str:
    title = _command_line(process)
    for beginning, part in _BY_TITLE.items():
        if title.startswith(beginning):
            return part
    if "postgres" in title.split(" ")[0]:
        return "database"
    return "Redis" if "valkey-server" in title else "Ray's own"


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
