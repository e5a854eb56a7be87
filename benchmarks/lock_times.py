"""How long a lease takes to acquire, on the product's Redis while it is at work.

A process of its own (``python -m benchmarks.lock_times``, its orders as JSON on standard input),
which asks as a host does, for one new conversation at a time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvloop

from benchmarks.programs import environment_with
from benchmarks.schedule import arrival_times
from benchmarks.statistics import percentile
from storage.redis_client import RedisClient
from storage.redis_lease import LeaseOutcome, LeaseRequest, MessageLockManager

__all__ = ["LockTimes", "lock_times"]

PER_SECOND = 50.0
TTL_SECONDS = 30.0


class Orders(msgspec.Struct):
    """What to measure."""

    redis_url: str
    seconds: float


class LockTimes(msgspec.Struct):
    """Milliseconds from asking to having."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0


@contextmanager
def lock_times(redis_url: str, seconds: float) -> Iterator[LockTimes]:
    """Measure while the block runs, at most so long; the result is filled in when it ends."""
    orders = msgspec.json.encode(Orders(redis_url, seconds))
    found = LockTimes()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.lock_times"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment_with({}),
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    ) as process:
        try:
            assert process.stdin is not None  # noqa: S101 - of a pipe
            process.stdin.write(orders)
            process.stdin.close()
            process.stdin = None
            yield found
            output, _ = process.communicate(timeout=seconds + 30)
        finally:
            process.kill()
    measured = msgspec.json.decode(output, type=LockTimes)
    found.p50_ms, found.p99_ms = measured.p50_ms, measured.p99_ms


async def measure(orders: Orders) -> LockTimes:
    """Acquire leases at fixed times. Raises ``RuntimeError`` if one is not granted."""
    client = RedisClient(orders.redis_url)
    manager = MessageLockManager(
        client, owner="benchmark", cluster="benchmark", ttl_seconds=TTL_SECONDS
    )
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    waits_ms: list[float] = []
    for number, offset in enumerate(arrival_times(PER_SECOND, orders.seconds)):
        if (pause := started_at + offset - loop.time()) > 0:
            await asyncio.sleep(pause)
        asked_at = loop.time()
        request = LeaseRequest(f"benchmark-{time.time_ns()}-{number}", str(number))
        [answer] = await manager.acquire([request])
        if answer.outcome is not LeaseOutcome.GRANTED:
            raise RuntimeError(f"the lease was {answer.outcome}")
        waits_ms.append((loop.time() - asked_at) * 1000)
    await client.close()
    waits_ms.sort()
    return LockTimes(percentile(waits_ms, 50), percentile(waits_ms, 99))


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(given))))
