"""How processes share the processors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such policies")

SHOW = "import os, storage.scheduling; {}; print(os.sched_getscheduler(0))"
SHOW_CHILD = (
    "import subprocess, sys; subprocess.run("
    "[sys.executable, '-c', 'import os; print(os.sched_getscheduler(0))'])"
)
WORK = "storage.scheduling.work_in_batches()"


def printed(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_a_process_interrupts_nobody_by_waking_up_and_so_do_those_it_starts() -> None:
    child, own = printed(SHOW.format(f"{WORK}; {SHOW_CHILD}"))
    assert own == child == os.SCHED_BATCH


def test_a_policy_that_somebody_chose_stays() -> None:
    choose = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    assert printed(SHOW.format(f"{choose}; {WORK}")) == [os.SCHED_IDLE]
