"""What can go wrong: one function a fault, which is over when its context ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from actors.ports import PeerUnavailable
from tests.simulation.breaker import Breaker, fault
from tests.simulation.scenario import LEASE_TTL_SECONDS


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
