"""Inside the product's processes: wall clocks that are wrong. Each process has its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

__all__ = ["CLOCKED", "CLOCKS_VARIABLE", "set_clock"]

CLOCKS_VARIABLE = "FAULT_CLOCKS"
"""A JSON object: seconds by which the clock of a host (by its name), of ``StorageWriter``, of
``Supervisor`` or of ``ingress`` is ahead."""

_MADE_IN = {
    "actors.host": "ConversationHost",
    "actors.supervisor": "Supervisor",
    "storage.writer": "StorageWriter",
}
CLOCKED = frozenset({*_MADE_IN, "ingress.factory"})
"""Modules whose use tells what a process is."""


def set_clock(module: ModuleType) -> None:
    """Set the clock of the process that uses this module, or will."""
    offsets: dict[str, float] = json.loads(os.environ.get(CLOCKS_VARIABLE, "{}"))
    if not offsets:
        return
    kind = _MADE_IN.get(module.__name__)
    if kind is None:
        _shift(offsets.get("ingress", 0.0))
        return
    made = getattr(module, kind)
    made.__init__ = _around_init(made.__init__, kind, offsets)


def _around_init(
    init: Callable[..., None], kind: str, offsets: dict[str, float]
) -> Callable[..., None]:
    @wraps(init)
    def wrapped(self: Any, *arguments: Any, **options: Any) -> None:
        name = arguments[0] if kind == "ConversationHost" else kind
        _shift(offsets.get(name, 0.0))
        init(self, *arguments, **options)

    return wrapped


def _shift(seconds: float) -> None:
    """Set the wall clock of this process; the one that does not jump stays as it is."""
    if not seconds:
        return
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)
