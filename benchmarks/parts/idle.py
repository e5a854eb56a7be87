"""What conversations cost that nothing happens in: memory, renewals, and what others pay."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from benchmarks.parts.idle_figures import FEW, LEASE_SECONDS, IdleFigures
from benchmarks.parts.known_conversations import store_known_conversations
from benchmarks.parts.servers import Servers, fresh_database, started_servers
from benchmarks.result import Outcome, Result, Table
from benchmarks.run import Run

__all__ = ["measure_idle"]

COUNT = 100_000
QUICK_COUNT = 10_000
SECONDS = 10.0
KIBIBYTE = 1024
LARGEST_KIBIBYTES = 6.0
LARGEST_RATIO = 1.1


def measure_idle(run: Run) -> Outcome:
    """Fill one host, once, and measure it before and after."""
    count = QUICK_COUNT if run.quick else COUNT
    with started_servers(run.folder("idle")) as servers:
        it, renewal_us = asyncio.run(_measure(servers, run, count))
    ratio = it.full_message_us / it.empty_message_us
    title = f"idle conversations in one host ({count:,})"
    renewals = count / (LEASE_SECONDS / 3)
    rows = [
        ("taken up by one host, a second", it.loaded_per_second),
        ("memory each, bytes", it.bytes_each),
        ("a message, empty host, µs of processor time", it.empty_message_us),
        ("a message, full host, µs of processor time", it.full_message_us),
        ("lease renewals a second", renewals),
        ("a renewal, µs of processor time", renewal_us),
        ("renewals, share of one core", renewal_us * renewals / 1e6),
    ]
    return Outcome(
        results=[
            Result(
                f"{title}: memory each",
                it.bytes_each / KIBIBYTE,
                "KiB",
                least=LARGEST_KIBIBYTES,
                good="low",
            ),
            Result(
                f"{title}: a message / in an empty host",
                ratio,
                "×",
                least=LARGEST_RATIO,
                good="low",
            ),
        ],
        tables=[
            Table(
                "A host full of idle conversations",
                ("", "measured"),
                rows,
                "Each with a context of two messages of 100 characters. Memory is what the "
                "process has more of than before. Processor time is that of the host's process; "
                "a message is one of 300 a second, all for the same 1,000 conversations (AI of "
                "0 ms), with leases that need no renewal meanwhile. Renewals are what a host at "
                "rest does with the usual leases of 30 s, its timers included.",
            )
        ],
    )


async def _measure(servers: Servers, run: Run, count: int) -> tuple[IdleFigures, float]:
    async with fresh_database(servers) as url:
        await store_known_conversations(url, 2 * (FEW + count))
        found = await _process(servers, run, url, count, SECONDS)
        renewal_us: float = await _process(servers, run, url, count, 0.0)
        return IdleFigures(**found), renewal_us


async def _process(servers: Servers, run: Run, url: str, count: int, seconds: float) -> Any:
    command = [sys.executable, "-m", "benchmarks.parts.idle_process", str(run.folder("idle"))]
    process = await asyncio.create_subprocess_exec(
        *command, url, servers.redis.url, str(count), str(seconds), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the host's process ended with {process.returncode}")
    return json.loads(output.splitlines()[-1])
