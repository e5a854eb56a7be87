"""Inside the product's processes: what happens at a point."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Collection
from pathlib import Path

__all__ = ["ARMED", "FOLDER_VARIABLE", "HIT", "MUTATED", "reach"]

FOLDER_VARIABLE = "FAULT_POINTS"
ARMED = "armed"
HIT = "hit"
MUTATED = "mutated"
"""Folders in the control folder."""


def reach(point: str, conversation_ids: Collection[str]) -> None:
    """Stop or kill this process, if a test has armed the point for one of the conversations.

    Who can rename the file is the one that it was armed for: a point works once.
    """
    folder = Path(os.environ[FOLDER_VARIABLE])
    for name in os.listdir(folder / ARMED):  # noqa: PTH208 (names are all that is needed)
        if name.partition("@")[0] != point:
            continue
        try:
            order = json.loads((folder / ARMED / name).read_text())
            wanted = order["conversation_id"]
            if wanted is not None and wanted not in conversation_ids:
                continue
            (folder / ARMED / name).rename(folder / HIT / f"{name}.taken")
        except FileNotFoundError:
            continue  # another process has it, or it was taken back
        unfinished = folder / HIT / f"{name}.new"
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(folder / HIT / name)
        _send(signal.Signals(order["signal"]))


def _send(number: signal.Signals) -> None:
    # To this very thread: sent to the process, it may be dealt with some instructions later.
    signal.pthread_kill(threading.get_ident(), number)
