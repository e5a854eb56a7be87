"""What goes wrong when: faults are drawn, begin, and are over again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

from tests.simulation.clients import Client
from tests.simulation.cluster import Cluster
from tests.simulation.lease_store import LeaseStore
from tests.simulation.network import Network
from tests.simulation.process import Process

__all__ = ["FAULTS", "Breaker", "fault"]

_Fault = Callable[["Breaker"], AbstractAsyncContextManager[None]]
FAULTS: dict[str, _Fault] = {}


def fault(function: _Fault) -> _Fault:
    """Add a fault to the list."""
    FAULTS[function.__name__.replace("_", " ")] = function
    return function


class Breaker:
    """Breaks things, one after the other and at the same time, until it is told to stop."""

    def __init__(
        self,
        clusters: list[Cluster],
        network: Network,
        store: LeaseStore,
        clients: list[Client],
        random: Random,
    ) -> None:
        self.clusters = clusters
        self.network = network
        self.weather = network.weather
        self.store = store
        self.clients = clients
        self.random = random

    async def run(self, count: int, until: float) -> None:
        """Inject ``count`` faults between now and ``until``; all are over then."""
        names = self._some_kinds()
        now = self.network.loop.now
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                start = self.random.uniform(1.0, max(1.0, until - now - 1.0))
                group.create_task(self._inject(self.random.choice(names), start, until))

    def _some_kinds(self) -> list[str]:
        """Choose what goes wrong this time: few kinds, often, find what all kinds at once hide."""
        kinds = sorted(FAULTS)
        return self.random.sample(kinds, min(len(kinds), self.random.choice((2, 4, 8, 100))))

    async def _inject(self, name: str, start: float, until: float) -> None:
        loop = self.network.loop
        await asyncio.sleep(start)
        self.weather.inject(name)
        self.network.trace.note(loop.now, f"FAULT {name}")
        async with FAULTS[name](self):
            seconds = self.random.choice((0.3, 1.0, 2.5, 5.0)) * self.random.uniform(0.5, 1.5)
            await asyncio.sleep(max(0.0, min(seconds, until - loop.now)))
        self.network.trace.note(loop.now, f"OVER {name}")

    def pick(self, kind: str) -> tuple[Cluster, Process] | None:
        """Choose a living process of a kind."""
        found = [(it, process) for it in self.clusters for process in it.processes(kind)]
        return self.random.choice(found) if found else None

    def kill(self, kind: str) -> None:
        """Kill one."""
        chosen = self.pick(kind)
        if chosen is not None:
            cluster, process = chosen
            self.network.trace.note(self.network.loop.now, f"kill {process}")
            cluster.kill(process)

    @asynccontextmanager
    async def paused(self, kind: str, seconds: float) -> AsyncIterator[None]:
        """Stop one for so long (it may be killed meanwhile)."""
        chosen = self.pick(kind)
        if chosen is None or chosen[1].is_paused:
            yield
            return
        process = chosen[1]
        self.network.trace.note(self.network.loop.now, f"pause {process} for {seconds:.2f} s")
        process.pause()
        await asyncio.sleep(seconds)
        process.wake()
        yield

    @asynccontextmanager
    async def changed(self, **values: Any) -> AsyncIterator[None]:
        """Make the weather worse for a while."""
        for name, value in values.items():
            setattr(self.weather, name, value)
        try:
            yield
        finally:
            for name in values:
                setattr(self.weather, name, 0)
