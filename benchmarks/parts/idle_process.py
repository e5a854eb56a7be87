"""A host full of idle conversations, in a process of its own so that its memory is its alone.

``python -m benchmarks.parts.idle_process FOLDER DATABASE_URL REDIS_URL COUNT SECONDS`` prints what
it measured as JSON; with 0 seconds it measures renewals.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.codec import Envelope, EnvelopeKind
from actors.outcome import OutcomeKind
from benchmarks.parts.arrivals import stored_messages
from benchmarks.parts.idle_figures import FEW, LEASE_SECONDS, IdleFigures
from benchmarks.parts.known_conversations import conversation_id
from benchmarks.parts.lone_host import LoneHost, lone_host, run_in_loop
from storage.log_config import configure_logging

AT_ONCE = 2_000
MESSAGES_PER_SECOND = 300
EVERY_SECONDS = 0.05
LONG_SECONDS = 80_000.0


async def _measure(folder: Path, urls: tuple[str, str], count: int, seconds: float) -> IdleFigures:
    async with _host(folder, urls, count, processing_lock_ttl=LONG_SECONDS) as host:
        await _take_up(host, 0, 2 * FEW)
        await _message_us(host, 0, seconds / 4)  # nothing is done for the first time after that
        empty_message = await _message_us(host, FEW, seconds)
        before = _resident_bytes()
        began = time.perf_counter()
        await _take_up(host, 2 * FEW, 2 * FEW + count)
        loaded_per_second = count / (time.perf_counter() - began)
        bytes_each = (_resident_bytes() - before) / count
        full_message = await _message_us(host, 2 * FEW, seconds)
    return IdleFigures(count, loaded_per_second, bytes_each, empty_message, full_message)


async def _measure_renewals(folder: Path, urls: tuple[str, str], count: int) -> float:
    """Return the microseconds that a renewal takes, with a lease's usual time."""
    async with _host(folder, urls, count) as host:
        await _take_up(host, 2 * FEW + count, 2 * FEW + 2 * count)
        await asyncio.sleep(LEASE_SECONDS)  # then every timer has been set anew once
        rounds = 2
        began = time.process_time()
        await asyncio.sleep(rounds * LEASE_SECONDS / 3)
        return (time.process_time() - began) / rounds / count * 1e6


@asynccontextmanager
async def _host(
    folder: Path, urls: tuple[str, str], count: int, **settings: Any
) -> AsyncIterator[LoneHost]:
    """Start a host that lets go of nothing; its ingress listens."""
    database_url, redis_url = urls
    async with lone_host(
        redis_url,
        folder,
        database_url,
        simulated_ai_seconds=0,
        conversation_idle_seconds=LONG_SECONDS,
        host_max_idle=10 * count,
        host_max_busy=count,
        **settings,
    ) as host:
        listening = asyncio.create_task(_listen(host))
        yield host
        listening.cancel()


async def _listen(host: LoneHost) -> None:
    while True:
        for outcome in await host.hear():
            if outcome.kind is OutcomeKind.FAILED:
                raise RuntimeError(f"a turn failed: {outcome.reason}")


async def _take_up(host: LoneHost, start: int, end: int) -> None:
    """Have the host take up conversations, so many at a time."""
    held = (await host.report()).redis_leases
    for first in range(start, end, AT_ONCE):
        last = min(end, first + AT_ONCE)
        await host.tell(
            [
                Envelope(conversation_id=conversation_id(it), kind=EnvelopeKind.POKE, epoch=1)
                for it in range(first, last)
            ]
        )
        await host.rest(held + last - start)


async def _message_us(host: LoneHost, first: int, seconds: float) -> float:
    """Send messages at a steady pace; return the processor time of one, in microseconds.

    They go to conversations that have had none yet: a context that has grown costs more.
    """
    count = int(MESSAGES_PER_SECOND * seconds)
    envelopes = await stored_messages(
        host.storage, [conversation_id(first + it % FEW) for it in range(count)]
    )
    size = int(MESSAGES_PER_SECOND * EVERY_SECONDS)
    gc.collect()
    used, began = time.process_time(), time.perf_counter()
    for number, start in enumerate(range(0, count, size)):
        await asyncio.sleep(max(0.0, began + number * EVERY_SECONDS - time.perf_counter()))
        await host.tell(envelopes[start : start + size])
    await host.rest()
    return (time.process_time() - used) / count * 1e6


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure and print."""
    folder, database_url, redis_url, count, seconds = sys.argv[1:]
    configure_logging("WARNING")
    urls = (database_url, redis_url)
    if float(seconds):
        figures = run_in_loop(_measure(Path(folder), urls, int(count), float(seconds)))
        print(json.dumps(asdict(figures)))
    else:
        print(json.dumps(run_in_loop(_measure_renewals(Path(folder), urls, int(count)))))


if __name__ == "__main__":
    main()
