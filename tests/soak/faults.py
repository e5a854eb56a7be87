"""The faults of a soak. Each begins, lasts, and is over when its function returns."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
from redis.asyncio import Redis

from tests.soak.stack import Cluster, SoakStack
from tests.stack.processes import actor_processes, process_tree, still_running
from tests.stack.proxy import Wrong

__all__ = ["FAULTS", "Fault"]

START_ATTEMPTS = 5

Act = Callable[[SoakStack, random.Random], Awaitable[bool]]
"""Answers whether it struck: a process that is to be killed may be dead already."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong; ``weight`` is how often, relative to the others."""

    name: str
    weight: int
    act: Act


def _one_of(stack: SoakStack, rng: random.Random) -> Cluster:
    return rng.choice(stack.clusters)


def _process(cluster: Cluster, kind: str, rng: random.Random) -> psutil.Process | None:
    found = actor_processes(cluster.server, kind)
    return rng.choice(found) if found else None


def _kill(kind: str) -> Act:
    async def act(stack: SoakStack, rng: random.Random) -> bool:
        process = await asyncio.to_thread(_process, _one_of(stack, rng), kind, rng)
        if process is None:
            return False
        try:
            process.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    return act


def _pause(kind: str, shortest_seconds: float, longest_seconds: float) -> Act:
    async def act(stack: SoakStack, rng: random.Random) -> bool:
        process = await asyncio.to_thread(_process, _one_of(stack, rng), kind, rng)
        if process is None:
            return False
        try:
            process.suspend()
            await asyncio.sleep(rng.uniform(shortest_seconds, longest_seconds))
            process.resume()
        except psutil.NoSuchProcess:
            return False
        return True

    return act


async def _power_cut(stack: SoakStack, rng: random.Random) -> bool:
    """Everything of a cluster dies at once, and is started again."""
    cluster = _one_of(stack, rng)
    await asyncio.to_thread(_cut_power, cluster)
    return True


def _cut_power(cluster: Cluster) -> None:
    process = cluster.server.process
    if process is None:
        raise RuntimeError("the cluster was never started")
    tree = [it for it in process_tree(cluster.server) if "Agent" not in it.name()]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = still_running(tree, 30)
    if left:
        raise RuntimeError(f"the killed start left {left}")
    _start_again(cluster)


def _start_again(cluster: Cluster) -> None:
    """Start as a service manager does: again, if it ended since a server was away just then."""
    for attempt in range(START_ATTEMPTS):
        try:
            cluster.server.start()
        except AssertionError:
            if attempt == START_ATTEMPTS - 1:
                raise
        else:
            return


async def _postgres_restart(stack: SoakStack, rng: random.Random) -> bool:
    await asyncio.to_thread(stack.postgres.kill)
    await asyncio.sleep(rng.uniform(0, 6))
    await asyncio.to_thread(stack.postgres.start)
    return True


async def _redis_restart(stack: SoakStack, rng: random.Random) -> bool:
    await asyncio.to_thread(stack.redis.kill)
    await asyncio.sleep(rng.uniform(0, 8))
    await asyncio.to_thread(stack.redis.start)
    return True


async def _slow_ai(stack: SoakStack, rng: random.Random) -> bool:
    stack.stubs.slowdown_seconds = 4.0
    await asyncio.sleep(rng.uniform(3, 8))
    stack.stubs.slowdown_seconds = 0.0
    return True


async def _platform_down(stack: SoakStack, rng: random.Random) -> bool:
    stack.stubs.platform_status = 503
    await asyncio.sleep(rng.uniform(3, 12))
    stack.stubs.platform_status = 200
    return True


async def _postgres_cut(stack: SoakStack, rng: random.Random) -> bool:
    return await asyncio.to_thread(_one_of(stack, rng).postgres.cut) > 0


async def _postgres_black_hole(stack: SoakStack, rng: random.Random) -> bool:
    rule = await asyncio.to_thread(_one_of(stack, rng).postgres.black_hole)
    await asyncio.sleep(rng.uniform(1, 12))
    await asyncio.to_thread(rule.end)
    return True


async def _answers_lost(stack: SoakStack, rng: random.Random) -> bool:
    """Messages and turns are stored, and their writer does not learn it.

    Both are single statements that commit by themselves; what people and the AI say is in them.
    """
    for _ in range(rng.randint(1, 5)):
        said = rng.choice((b"text ", b"answer to text "))
        trigger = _one_of(stack, rng).postgres.when(said, Wrong.LOSE_ANSWER)
        try:
            await trigger.wait(10)
        except TimeoutError:
            return False  # nothing was written in all that time
    return True


async def _redis_black_hole(stack: SoakStack, rng: random.Random) -> bool:
    rule = await asyncio.to_thread(_one_of(stack, rng).redis.black_hole)
    await asyncio.sleep(rng.uniform(2, 15))
    await asyncio.to_thread(rule.end)
    return True


async def _redis_black_hole_for_a_host(stack: SoakStack, rng: random.Random) -> bool:
    cluster = _one_of(stack, rng)
    process = await asyncio.to_thread(_process, cluster, "ConversationHost", rng)
    if process is None:
        return False
    rule = await asyncio.to_thread(cluster.redis.black_hole, process)
    await asyncio.sleep(rng.uniform(2, 10))
    await asyncio.to_thread(rule.end)
    return True


async def _redis_latency(stack: SoakStack, rng: random.Random) -> bool:
    rule = await asyncio.to_thread(_one_of(stack, rng).redis.latency, rng.uniform(0.1, 1.0))
    await asyncio.sleep(rng.uniform(3, 10))
    await asyncio.to_thread(rule.end)
    return True


async def _redis_forgets(stack: SoakStack, _: random.Random) -> bool:
    client = Redis.from_url(stack.redis.url)
    try:
        await client.flushall()
    finally:
        await client.aclose()
    return True


FAULTS = (
    Fault("host killed", 6, _kill("ConversationHost")),
    Fault("writer killed", 4, _kill("StorageWriter")),
    Fault("supervisor killed", 2, _kill("Supervisor")),
    Fault("host paused, less than its lease", 2, _pause("ConversationHost", 0.5, 1.8)),
    Fault("host paused, longer than its lease", 4, _pause("ConversationHost", 3.5, 9.0)),
    Fault("writer paused", 2, _pause("StorageWriter", 1.0, 6.0)),
    Fault("supervisor paused", 1, _pause("Supervisor", 1.0, 6.0)),
    Fault("cluster killed whole and started again", 1, _power_cut),
    Fault("PostgreSQL killed and started again", 2, _postgres_restart),
    Fault("PostgreSQL connections cut", 3, _postgres_cut),
    Fault("PostgreSQL black-holed for a cluster", 2, _postgres_black_hole),
    Fault("answers to stored messages and turns lost", 3, _answers_lost),
    Fault("Redis killed, back empty", 2, _redis_restart),
    Fault("Redis black-holed for a cluster", 2, _redis_black_hole),
    Fault("Redis black-holed for a host", 2, _redis_black_hole_for_a_host),
    Fault("Redis slow for a cluster", 2, _redis_latency),
    Fault("Redis forgets everything", 1, _redis_forgets),
    Fault("AI slow", 2, _slow_ai),
    Fault("platform down", 2, _platform_down),
)
