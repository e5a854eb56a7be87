"""A process of the simulated cluster: what runs in it stops when it is paused or killed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.virtual_loop import VirtualLoop

__all__ = ["EPOCH", "Process", "current_process", "process_of"]

EPOCH = 1_800_000_000.0
"""Unix seconds at which every simulation begins."""

_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process() -> Process | None:
    """Return the process whose code is running; None: the world outside of all processes."""
    return _CURRENT.get()


def process_of(context: contextvars.Context) -> Process | None:
    """Return the process whose code a context is."""
    return context.get(_CURRENT)


class Process:
    """One incarnation of a process, with clocks of its own.

    All that it starts runs in its ``context``, by which the loop knows whose it is.
    """

    def __init__(self, loop: VirtualLoop, name: str, cluster: str) -> None:
        self.loop = loop
        self.name = name
        self.cluster = cluster
        self.instance: Any = None
        self.make: Callable[[], object] = object
        """Makes the instance of this process, and of the next one of its name."""
        self.is_dead = False
        self.is_paused = False
        self.stands_still = False
        """It is paused, or dead."""
        self.parked: list[asyncio.Handle] = []
        """What came while it was paused (or dead: kept, so that nothing is collected midway)."""
        self.wall_offset_seconds = 0.0
        self.monotonic_offset_seconds = 0.0
        self.clock_rate = 1.0
        self.calls: dict[Any, None] = {}
        """Calls of others that it has not answered."""
        self.context = contextvars.copy_context()
        self.context.run(_CURRENT.set, self)

    def __repr__(self) -> str:
        return f"{self.cluster}/{self.name}"

    @property
    def owner(self) -> str:
        """The id that it takes leases under, where it is a host."""
        return f"{self.name}#{getattr(self.instance, '_incarnation', '')}"

    def monotonic(self) -> float:
        """Its clock that does not jump; no two processes agree about it."""
        return self.monotonic_offset_seconds + self.loop.now * self.clock_rate

    def wall(self) -> float:
        """Its idea of the time of day."""
        return EPOCH + self.loop.now + self.wall_offset_seconds

    def pause(self) -> None:
        """Stop it, as SIGSTOP does."""
        self.is_paused = self.stands_still = True

    def die(self) -> None:
        """Stop it for good, as SIGKILL does."""
        self.is_dead = self.stands_still = True

    def wake(self) -> None:
        """Let it go on: first with what came meanwhile."""
        self.is_paused, self.stands_still = False, self.is_dead
        parked, self.parked = self.parked, []
        for handle in parked:
            self.loop.resume(handle)
