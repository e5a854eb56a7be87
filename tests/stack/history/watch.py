"""(F): memory and queues while a test runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from tests.stack.processes import actor_processes
from tests.stack.server import ADMIN_TOKEN, Server

__all__ = ["Sample", "Watch", "check_samples"]

INTERVAL_SECONDS = 1.0
MEBIBYTE = 1 << 20
MOST_GROWTH_BYTES = 300 * MEBIBYTE
"""Of one process, from its first sample on."""
MOST_WAITING = 200
"""Messages of one conversation in its host's memory; the rest waits in PostgreSQL."""


@dataclass(frozen=True)
class Sample:
    """One look at the product."""

    memory: Mapping[int, int]
    """Bytes of each actor's process."""
    actors: list[Mapping[str, Any]] = field(default_factory=list)
    """What the product says of them itself."""


class Watch:
    """Looks again and again while its block runs; ``check`` afterwards."""

    def __init__(self, server: Server) -> None:
        self.samples: list[Sample] = []
        self._server = server
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def check(self) -> None:
        """Check what was seen."""
        check_samples(self.samples)

    async def _look_on(self) -> None:
        async with self._server.client(ADMIN_TOKEN, timeout_seconds=5) as client:
            while True:
                memory = await asyncio.to_thread(_memory_of, self._server)
                self.samples.append(Sample(memory, await _actors(client)))
                await asyncio.sleep(INTERVAL_SECONDS)


def check_samples(samples: list[Sample]) -> None:
    """Check that nothing grows without a limit."""
    assert samples, "nobody looked"
    first: dict[int, int] = {}
    for sample in samples:
        for process_id, size in sample.memory.items():
            growth = size - first.setdefault(process_id, size)
            assert growth < MOST_GROWTH_BYTES, (
                f"(F) process {process_id} grew by {growth // MEBIBYTE} MiB"
            )
        for actor in sample.actors:
            waiting = actor.get("waiting_messages", 0)
            limit = MOST_WAITING * max(1, actor.get("conversations", 0))
            assert waiting <= limit, f"(F) {waiting} messages wait in the memory of {actor}"


def _memory_of(server: Server) -> dict[int, int]:
    found: dict[int, int] = {}
    for kind in ("ConversationHost", "StorageWriter", "Supervisor"):
        for process in actor_processes(server, kind):
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = process.memory_info().rss
    return found


async def _actors(client: httpx.AsyncClient) -> list[Mapping[str, Any]]:
    """Return what the admin is told; nothing while nobody answers."""
    try:
        response = await client.get("/api/v1/admin/stats")
    except httpx.TransportError:
        return []
    actors: list[Mapping[str, Any]] = response.json()["actors"] if response.is_success else []
    return actors
