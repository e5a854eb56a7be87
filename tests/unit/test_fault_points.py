"""The fault points are where they say, in the product as it is now."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil

from tests.stack.fault_points.control import FaultPoints
from tests.stack.fault_points.mutations import MUTATIONS
from tests.stack.fault_points.points import MUTATED

CALL = """
import asyncio, importlib
from tests.stack.fault_points.places import PLACES
for name in PLACES:
    importlib.import_module(name)
from actors.delivery_work import write
from storage.delivery_records import DeliveryStart
operation = DeliveryStart(conversation_id="c1", epoch=1, job_id="j1")
class Writer:
    async def call(self, operation):
        print("called", flush=True)
        return None
asyncio.run(write(Writer(), operation, lambda: 0.0))
"""
MUTANTS = """
import importlib
from pathlib import Path
turns, accept, resources = map(
    importlib.import_module, ("storage.turns", "storage.accept", "actors.resources")
)
class Settings:
    processing_lock_ttl = 3.0
some = object.__new__(resources.Resources)
object.__setattr__(some, "settings", Settings)
for mutation in ("none", "no_epoch_check", "no_dedupe", "no_trust_window"):
    path = Path(FOLDER, mutation)
    path.touch()
    print(
        mutation,
        "then 'fenced'" in turns._SQL["commit_turns"],
        "do nothing" in accept._SQL["insert_messages"],
        some.trusted_until(100.0) < 1000.0,
    )
    path.unlink()
"""


async def run(points: FaultPoints, code: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={"PATH": os.environ["PATH"], **points.environment},
        stdout=asyncio.subprocess.PIPE,
    )


async def output_of(process: asyncio.subprocess.Process) -> str:
    text, _ = await process.communicate()
    assert process.returncode == 0
    return text.decode()


async def test_a_process_is_stopped_at_the_point_that_was_armed_and_goes_on(tmp_path: Path) -> None:
    points = FaultPoints(tmp_path / "points")
    armed = points.arm("delivery.before_count", signal.SIGSTOP, "c1")
    process = await run(points, CALL)
    stopped = await armed.stopped()
    assert stopped.pid == process.pid
    assert stopped.status() == psutil.STATUS_STOPPED
    points.disarm_all()
    assert await output_of(process) == "called\n"


async def test_a_process_is_killed_at_the_point_that_was_armed(tmp_path: Path) -> None:
    points = FaultPoints(tmp_path / "points")
    armed = points.arm("delivery.before_count", signal.SIGKILL)
    process = await run(points, CALL)
    assert await armed.hit() == process.pid
    assert await process.wait() == -signal.SIGKILL
    # It works once.
    assert await output_of(await run(points, CALL)) == "called\n"


async def test_a_point_that_is_armed_for_another_conversation_lets_everybody_pass(
    tmp_path: Path,
) -> None:
    points = FaultPoints(tmp_path / "points")
    armed = points.arm("delivery.before_count", signal.SIGKILL, "c2")
    assert await output_of(await run(points, CALL)) == "called\n"
    assert not armed.was_hit


async def test_a_mutation_takes_out_its_guard_and_no_other(tmp_path: Path) -> None:
    points = FaultPoints(tmp_path / "points")
    code = f"FOLDER = {str(tmp_path / 'points' / MUTATED)!r}\n{MUTANTS}"
    lines = (await output_of(await run(points, code))).splitlines()
    assert lines == [
        "none True True True",
        "no_epoch_check False True True",
        "no_dedupe True False True",
        "no_trust_window True True False",
    ]
    assert {line.split()[0] for line in lines[1:]} == set(MUTATIONS)
