"""How far a long command has come: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["ProgressBar", "Steps"]

PLAIN_LINES = 10
"""Of a bar, where there is no terminal."""


class ProgressBar:
    """So much of ``total`` is done. Use it with ``with``; what is printed meanwhile stays above."""

    def __init__(self, title: str, total: float, stream: TextIO | None = None) -> None:
        self._title = title
        self._total = total
        self._stream = stream or sys.stderr
        self._done = 0.0
        self._lines = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, amount: float = 1.0) -> None:
        """Tell of more that is done."""
        self.reach(self._done + amount)

    def reach(self, done: float) -> None:
        """Tell how much is done in all."""
        self._done = min(done, self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            return
        lines = int(PLAIN_LINES * self._done / self._total) if self._total else PLAIN_LINES
        if lines > self._lines:
            self._lines = lines
            print(f"{self._title}: {100 * lines // PLAIN_LINES} %", file=self._stream, flush=True)


class Steps:
    """The steps of a start, a line as each begins: what the log says meanwhile stays readable."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream or sys.stdout
        self._number = 0
        self._began_at = time.monotonic()

    def begin(self, name: str) -> None:
        """Tell of a step that begins."""
        bar = "#" * self._number + "-" * (self._total - self._number)
        self._number += 1
        seconds = time.monotonic() - self._began_at
        line = f"[{bar}] {self._number}/{self._total}  {seconds:4.1f} s  {name}"
        print(line, file=self._stream, flush=True)
