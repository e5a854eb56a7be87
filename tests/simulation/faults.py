"""What goes wrong, when, and for how long: one function a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

from actors.ports import PeerUnavailable
from tests.simulation.clients import Client
from tests.simulation.cluster import Cluster
from tests.simulation.lease_store import LeaseStore
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.scenario import LEASE_TTL_SECONDS

__all__ = ["FAULTS", "Breaker"]

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


def _chance(breaker: Breaker) -> float:
    return breaker.random.choice((0.05, 0.3, 0.8))


@fault
@asynccontextmanager
async def host_killed(breaker: Breaker) -> AsyncIterator[None]:
    breaker.kill("host")
    yield


@fault
@asynccontextmanager
async def writer_killed(breaker: Breaker) -> AsyncIterator[None]:
    breaker.kill("writer")
    yield


@fault
@asynccontextmanager
async def supervisor_killed(breaker: Breaker) -> AsyncIterator[None]:
    breaker.kill("supervisor")
    yield


@fault
@asynccontextmanager
async def ingress_killed(breaker: Breaker) -> AsyncIterator[None]:
    breaker.kill("ingress")
    yield


@fault
def host_paused_for_less_than_its_lease(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.paused("host", LEASE_TTL_SECONDS * breaker.random.uniform(0.1, 0.8))


@fault
def host_paused_for_longer_than_its_lease(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.paused("host", LEASE_TTL_SECONDS * breaker.random.uniform(1.0, 2.0))


@fault
def writer_paused(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.paused("writer", breaker.random.uniform(0.2, 4.0))


@fault
def supervisor_paused(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.paused("supervisor", breaker.random.uniform(0.5, 5.0))


@fault
def ingress_paused(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.paused("ingress", breaker.random.uniform(0.5, 5.0))


@fault
@asynccontextmanager
async def host_emptied_and_started_again(breaker: Breaker) -> AsyncIterator[None]:
    chosen = breaker.pick("host")
    if chosen is not None:
        cluster, process = chosen
        try:
            async with asyncio.timeout(5.0):
                await breaker.network.call(str(process), "drain", breaker.random.uniform(0.1, 4.0))
        except (PeerUnavailable, TimeoutError):
            pass  # killed all the same
        if not process.is_dead:
            cluster.kill(process)
    yield


@fault
def redis_down(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    breaker.store.cut_listeners()
    return breaker.changed(redis_is_down=True)


@fault
@asynccontextmanager
async def redis_back_empty(breaker: Breaker) -> AsyncIterator[None]:
    async with breaker.changed(redis_is_down=True):
        await asyncio.sleep(breaker.random.choice((0.0, 1.0)))
        breaker.store.forget()
    yield


@fault
def redis_slow(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(redis_latency_seconds=breaker.random.choice((0.3, 1.0, 2.0)))


@fault
def redis_answers_lost(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(redis_answer_lost=_chance(breaker))


@fault
@asynccontextmanager
async def redis_unreachable_from_one_host(breaker: Breaker) -> AsyncIterator[None]:
    chosen = breaker.pick("host")
    if chosen is not None:
        breaker.weather.redis_unreachable_from.add(str(chosen[1]))
    yield
    if chosen is not None:
        breaker.weather.redis_unreachable_from.discard(str(chosen[1]))


@fault
@asynccontextmanager
async def redis_unreachable_from_one_cluster(breaker: Breaker) -> AsyncIterator[None]:
    names = {str(it) for it in breaker.random.choice(breaker.clusters).processes("")}
    breaker.weather.redis_unreachable_from |= names
    yield
    breaker.weather.redis_unreachable_from -= names


@fault
def database_down(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_is_down=True)


@fault
def database_mute(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_is_mute=True)


@fault
def database_refusing(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_refuses=_chance(breaker))


@fault
def database_answering_unknown(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_unknown=_chance(breaker))


@fault
def database_answering_late(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_late=_chance(breaker))


@fault
def database_in_conflict(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(database_conflict=_chance(breaker))


@fault
def ai_failing(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(ai_fails=_chance(breaker))


@fault
def platform_failing(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(platform_fails=_chance(breaker))


@fault
def platform_down(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(platform_is_down=True)


@fault
def calls_lost(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(call_lost=_chance(breaker), answer_lost=_chance(breaker) / 4)


@fault
def calls_late(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(call_late=_chance(breaker))


@fault
def calls_twice(breaker: Breaker) -> AbstractAsyncContextManager[None]:
    return breaker.changed(call_twice=_chance(breaker))


@fault
@asynccontextmanager
async def two_processes_cut_off_from_each_other(breaker: Breaker) -> AsyncIterator[None]:
    processes = breaker.random.choice(breaker.clusters).processes("")
    pair = frozenset(str(it) for it in breaker.random.sample(processes, min(2, len(processes))))
    breaker.weather.cuts.add(pair)
    yield
    breaker.weather.cuts.discard(pair)


@fault
@asynccontextmanager
async def wall_clock_jumping(breaker: Breaker) -> AsyncIterator[None]:
    chosen = breaker.pick("")
    if chosen is not None:
        chosen[1].wall_offset_seconds += breaker.random.choice((-3600.0, -10.0, 10.0, 3600.0))
    yield


@fault
@asynccontextmanager
async def job_cancelled(breaker: Breaker) -> AsyncIterator[None]:
    client = breaker.random.choice(breaker.clients)
    if client.job_ids:
        await _tell_an_ingress(breaker, "cancel_job", breaker.random.choice(client.job_ids[-4:]))
    yield


@fault
@asynccontextmanager
async def conversation_cancelled(breaker: Breaker) -> AsyncIterator[None]:
    client = breaker.random.choice(breaker.clients)
    await _tell_an_ingress(breaker, "cancel_conversation", client.conversation_id)
    yield


async def _tell_an_ingress(breaker: Breaker, method: str, argument: str) -> None:
    cluster = breaker.random.choice(breaker.clusters)
    try:
        await breaker.network.call(f"{cluster.name}/ingress", method, argument)
    except PeerUnavailable:
        return  # a person would try again
