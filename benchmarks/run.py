"""One run of the benchmarks: how long to measure, where to keep files, what to say meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Run"]


@dataclass
class Run:
    """What measurements are given. Leaving it (``with``) removes its files."""

    quick: bool = False
    """One short round each: shows that everything works, and roughly how fast."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the product, on top of those that a measurement sets."""
    given_rounds: int | None = None
    """How often each thing is measured, where it is not as often as usual."""
    started_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # Ray's sockets need a short path, and PostgreSQL runs as another user under root.
        self._place = Path(tempfile.mkdtemp(prefix="cb-"))
        if os.geteuid() == 0:
            self._place.chmod(0o711)
        self._folders = 0

    @property
    def rounds(self) -> int:
        """How often each thing is measured, in turn (A B A B)."""
        return self.given_rounds or (1 if self.quick else 2)

    @property
    def seconds(self) -> int:
        """How long one measurement lasts, without its warm-up."""
        return 3 if self.quick else 6

    @property
    def warm_up_seconds(self) -> int:
        """How long the same load is sent before it counts."""
        return 2 if self.quick else 3

    @property
    def elapsed_seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self.started_at

    def folder(self, name: str) -> Path:
        """Make an empty folder with a short path, which lasts as long as the run."""
        self._folders += 1
        folder = self._place / f"{name}{self._folders}"
        folder.mkdir()
        if os.geteuid() == 0:
            folder.chmod(0o711)
        return folder

    def discard(self, folder: Path) -> None:
        """Remove a folder before the end of the run: data of a million rows, say."""
        shutil.rmtree(folder, ignore_errors=True)

    def say(self, text: str) -> None:
        """Show what is being done, with the seconds since the start."""
        print(f"{self.elapsed_seconds:6.0f} s  {text}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
