"""The wish to stop, as a process hears it."""

from __future__ import annotations

import asyncio
import signal

from storage.tasks import wait_at_most

__all__ = ["StopRequest"]


class StopRequest:
    """Whether somebody asked to stop, by SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.listen()

    def listen(self) -> None:
        """Take the signals; again after a library took them for itself."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.make)

    def was_made(self) -> bool:
        """Whether it was asked."""
        return self._asked.is_set()

    def make(self) -> None:
        """Ask to stop."""
        self._asked.set()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for it; return whether it was made in time."""
        return await wait_at_most(self._asked, timeout_seconds)
