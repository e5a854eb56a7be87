"""How a process shares the processors with others on its machine."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["work_in_batches"]


def work_in_batches() -> None:
    """Let this thread, and all that it starts from now on, interrupt nobody by waking up.

    A message goes from process to process. Where each one that hears something takes the
    processor at once from the one that spoke, it does little and is interrupted in its turn. With
    ``SCHED_BATCH`` (sched(7)) who works goes on for a few milliseconds, and who comes next finds
    more to do: a tenth less processor time a message under load, and the same share for all.
    Nothing changes while a processor is free, where somebody has chosen another policy, or where
    this is forbidden or not known, as it is in some containers.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # it only makes things faster
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
