"""How processes share the processors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from storage.scheduling import work_in_batches

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


def test_where_it_is_forbidden_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(_process: int, policy: int, _parameters: os.sched_param) -> None:
        asked.append(policy)
        raise PermissionError("not here")

    monkeypatch.setattr(os, "sched_getscheduler", lambda _process: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    work_in_batches()
    assert asked == [os.SCHED_BATCH]


def test_a_policy_that_somebody_chose_stays() -> None:
    choose = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    assert printed(SHOW.format(f"{choose}; {WORK}")) == [os.SCHED_IDLE]
