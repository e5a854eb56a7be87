"""On the test's side: arming points, and waiting until a process has come by."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.stack.fault_points.clocks import CLOCKS_VARIABLE
from tests.stack.fault_points.mutations import MUTATIONS
from tests.stack.fault_points.places import POINTS
from tests.stack.fault_points.points import ARMED, FOLDER_VARIABLE, HIT, MUTATED

__all__ = ["Armed", "FaultPoints"]

REPOSITORY = Path(__file__).parents[3]
STARTUP = Path(__file__).parent / "startup"
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Armed:
    """A point that waits for a process to come by."""

    point: str
    number: signal.Signals
    folder: Path
    name: str

    async def hit(self, timeout_seconds: float = 30.0) -> int:
        """Wait until a process has come by, and is being stopped or killed; return its id."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self.was_hit:  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"nobody came by {self.point} in {timeout_seconds} s") from None
        return int(self._trace.read_text())

    async def stopped(self, timeout_seconds: float = 30.0) -> psutil.Process:
        """Wait until a process has come by and stands still; return it, to be resumed."""
        assert self.number is signal.SIGSTOP
        process = psutil.Process(await self.hit(timeout_seconds))
        async with asyncio.timeout(timeout_seconds):
            while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(POLL_SECONDS)
        return process

    @property
    def was_hit(self) -> bool:
        """Whether a process has come by."""
        return self._trace.exists()

    def disarm(self) -> None:
        """Let everybody pass from now on; who was stopped goes on."""
        (self.folder / ARMED / self.name).unlink(missing_ok=True)
        if self.was_hit and self.number is signal.SIGSTOP:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(int(self._trace.read_text())).resume()

    @property
    def _trace(self) -> Path:
        return self.folder / HIT / self.name


class FaultPoints:
    """The points of one server: start it with ``environment`` among its settings."""

    def __init__(self, folder: Path, clocks: Mapping[str, float] | None = None) -> None:
        self._folder = folder
        self._clocks = dict(clocks or {})
        self._armed: list[Armed] = []
        for name in (ARMED, HIT, MUTATED):
            (folder / name).mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the server's processes are told."""
        return {
            FOLDER_VARIABLE: str(self._folder),
            CLOCKS_VARIABLE: json.dumps(self._clocks),
            "PYTHONPATH": os.pathsep.join((str(STARTUP), str(REPOSITORY))),
        }

    def arm(self, point: str, number: signal.Signals, conversation_id: str | None = None) -> Armed:
        """Let the next process that comes by get a signal; only for one conversation, if given."""
        assert point in POINTS, f"no such point: {point}"
        name = f"{point}@{uuid.uuid4().hex}"
        unfinished = self._folder / f"{name}.new"
        order = {"signal": int(number), "conversation_id": conversation_id}
        unfinished.write_text(json.dumps(order))
        unfinished.rename(self._folder / ARMED / name)
        armed = Armed(point, number, self._folder, name)
        self._armed.append(armed)
        return armed

    def disarm_all(self) -> None:
        """Let everybody pass, and wake all who were stopped."""
        for armed in self._armed:
            armed.disarm()
        self._armed.clear()

    @contextmanager
    def mutated(self, mutation: str) -> Iterator[None]:
        """Take a guard of the product out while the block runs."""
        assert mutation in MUTATIONS, f"no such mutation: {mutation}"
        path = self._folder / MUTATED / mutation
        path.touch()
        try:
            yield
        finally:
            path.unlink()
