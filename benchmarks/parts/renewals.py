"""Lease renewals per second through the product's code, against ``redis-benchmark``."""

from __future__ import annotations

import re
import subprocess
import time
from statistics import median
from urllib.parse import urlsplit

from benchmarks.parts.lone_host import run_in_loop
from benchmarks.parts.servers import started_servers
from benchmarks.result import Outcome, Result, Table
from benchmarks.run import Run
from storage.redis_client import RedisClient
from storage.redis_lease import HeldLease, LeaseRequest, MessageLockManager, RenewalOutcome

__all__ = ["measure_renewals"]

LEASES = 100_000
PART = 500
"""Renewed by one call, as a host does."""
PIPELINE = 512
ATTEMPTS = 3
"""It was seen to give up at its start, now and then."""
TTL_SECONDS = 3_600.0
SCRIPT = """
if redis.call('HGET', KEYS[1], 'lock_id') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""What a renewal is at least: looked at, and extended."""
_SPEED = re.compile(r"([\d.]+) requests per second")


def measure_renewals(run: Run) -> Outcome:
    """Measure both ways in turn, on the same leases."""
    ours: list[float] = []
    processor: list[float] = []
    scripts: list[float] = []
    expires: list[float] = []
    with started_servers(run.folder("renewals"), with_postgres=False) as servers:
        url = servers.redis.url
        run_in_loop(_take(url))
        for _ in range(run.rounds):
            speed, seconds = run_in_loop(_renew(url))
            ours.append(speed)
            processor.append(seconds / LEASES * 1e6)
            scripts.append(_benchmark(url, "EVAL", SCRIPT, "1", _KEY, _LOCK, "3600000"))
            expires.append(_benchmark(url, "PEXPIRE", _KEY, "3600000"))
    ratios = [own / other for own, other in zip(ours, scripts, strict=True)]
    rows: list[tuple[str | float, ...]] = [
        (f"ours: {PART} leases a call", median(ours), median(processor)),
        (f"redis-benchmark, a script each, -P {PIPELINE}", median(scripts), ""),
        (f"redis-benchmark, PEXPIRE unconditionally, -P {PIPELINE}", median(expires), ""),
    ]
    return Outcome(
        results=[
            Result(
                "lease renewals: ours / redis-benchmark",
                median(ratios),
                "×",
                low=min(ratios),
                high=max(ratios),
            )
        ],
        tables=[
            Table(
                "Lease renewals",
                ("", "a second", "ours, µs of processor time each"),
                rows,
                f"{LEASES:,} leases in Valkey, one connection. A renewal compares the lock id "
                "and extends the time to live, in a script.",
            )
        ],
    )


_KEY = "lease:__rand_int__"
_LOCK = "0b0b2a3e-54a7-4d1e-bc0c-d3b0c36b2a8f"


def _leases() -> list[HeldLease]:
    # redis-benchmark writes its random numbers with twelve digits.
    return [HeldLease(f"{number:012}", _LOCK) for number in range(LEASES)]


def _manager(client: RedisClient) -> MessageLockManager:
    return MessageLockManager(
        client,
        owner="host-0#measured",
        cluster="default",
        ttl_seconds=TTL_SECONDS,
    )


async def _take(url: str) -> None:
    client = RedisClient(url)
    locks = _manager(client)
    requests = [LeaseRequest(it.conversation_id, it.lock_id) for it in _leases()]
    for start in range(0, LEASES, PART):
        await locks.acquire(requests[start : start + PART])
    await client.close()


async def _renew(url: str) -> tuple[float, float]:
    """Return renewals a second, and the processor seconds of this process."""
    client = RedisClient(url)
    locks = _manager(client)
    leases = _leases()
    await locks.renew(leases[:PART])
    used, began = time.process_time(), time.perf_counter()
    for start in range(0, LEASES, PART):
        for outcome in await locks.renew(leases[start : start + PART]):
            if outcome is not RenewalOutcome.RENEWED:
                raise RuntimeError(f"a lease was not renewed: {outcome}")
    lasted = time.perf_counter() - began
    used = time.process_time() - used
    await client.close()
    return LEASES / lasted, used


def _benchmark(url: str, *command: str) -> float:
    """Return how many of a command ``redis-benchmark`` has done in a second.

    It takes a password from its command line only; this one opens a server of this run.
    """
    said = ""
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            [*_program(url), *command], capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr)[-500:]
        found = _SPEED.findall(done.stdout)
        if not done.returncode and found:
            return float(found[-1])
    raise RuntimeError(f"redis-benchmark does not do its work: {said}")


def _program(url: str) -> list[str]:
    parts = urlsplit(url)
    return [
        "redis-benchmark",
        *("-h", parts.hostname or "", "-p", str(parts.port), "-c", "1", "-q"),
        *("-a", parts.password or "", "-n", str(LEASES), "-r", str(LEASES), "-P", str(PIPELINE)),
    ]
