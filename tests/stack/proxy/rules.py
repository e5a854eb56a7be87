"""What a proxy does wrong, to which connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

import psutil

__all__ = ["Direction", "Rule", "Trigger", "Wrong"]

POLL_SECONDS = 0.02


class Direction(Enum):
    """Which way bytes go."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class Wrong(Enum):
    """What happens to a connection on which a trigger's bytes pass."""

    CUT_BEFORE = "cut: the bytes do not arrive"
    CUT_AFTER = "the bytes arrive, then it is cut at once"
    LOSE_ANSWER = "the bytes arrive, and it is cut when the answer to them comes back"


class Rule:
    """A fault that lasts until ``end``; also a context manager."""

    def __init__(
        self,
        remove: Callable[[Rule], None],
        process: psutil.Process | None,
        direction: Direction | None,
        *,
        is_black_hole: bool = False,
        is_refusing: bool = False,
        delay_seconds: float = 0.0,
    ) -> None:
        self._remove = remove
        self.process = process
        self.direction = direction
        self.is_black_hole = is_black_hole
        self.is_refusing = is_refusing
        self.delay_seconds = delay_seconds
        self._known: dict[int, bool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Let everything through again, what was held first."""
        self._remove(self)

    def matches(self, client_port: int) -> bool:
        """Whether this is for the connection that comes from there.

        Decided when it is first seen: a socket that is closed tells no more whose it was.
        """
        if self.process is None:
            return True
        if client_port not in self._known:
            self._known[client_port] = client_port in _ports_of(self.process)
        return self._known[client_port]


def _ports_of(process: psutil.Process) -> set[int]:
    try:
        return {it.laddr.port for it in process.net_connections("tcp")}
    except psutil.NoSuchProcess:
        return set()


@dataclass
class Trigger:
    """Waits for bytes to pass, once."""

    pattern: bytes
    wrong: Wrong
    direction: Direction
    happened: threading.Event = field(default_factory=threading.Event)

    async def wait(self, timeout_seconds: float = 30.0) -> None:
        """Wait until it has happened."""
        async with asyncio.timeout(timeout_seconds):
            while not self.happened.is_set():  # noqa: ASYNC110 (another thread)
                await asyncio.sleep(POLL_SECONDS)
