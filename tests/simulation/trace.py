"""What happened, in order: as a number that two equal runs share, and as text when asked for."""

from __future__ import annotations

from zlib import crc32

__all__ = ["Trace"]


class Trace:
    """Takes note of everything that the simulation decides or sees."""

    def __init__(self, *, is_kept: bool) -> None:
        self.digest = 0
        self.lines: list[str] = []
        self._is_kept = is_kept

    def note(self, now: float, line: str) -> None:
        """Note one thing."""
        self.digest = crc32(f"{now:.6f} {line}".encode(), self.digest)
        if self._is_kept:
            self.lines.append(f"{now:10.4f}  {line}")
