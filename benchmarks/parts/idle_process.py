"""A host full of idle conversations, in a process of its own so that its memory is its alone.

``python -m benchmarks.parts.idle_process FOLDER DATABASE_URL REDIS_URL COUNT SECONDS`` prints what
it measured as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.codec import Envelope, EnvelopeKind
from actors.outcome import OutcomeKind
from benchmarks.parts.arrivals import stored_messages
from benchmarks.parts.known_conversations import conversation_id
from benchmarks.parts.lone_host import LoneHost, lone_host, run_in_loop
from storage.log_config import configure_logging

__all__ = ["IdleFigures"]

FEW = 1_000
"""Conversations of the host that counts as empty; they get the messages that are measured."""
AT_ONCE = 2_000
MESSAGES_PER_SECOND = 200
EVERY_SECONDS = 0.05
LONG_SECONDS = 1_000_000.0
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What was measured; processor time is the host's process's."""

    conversations: int
    loaded_per_second: float
    bytes_each: float
    empty_idle_share: float
    """Of one core, without messages."""
    full_idle_share: float
    empty_message_us: float
    full_message_us: float


async def _measure(folder: Path, urls: tuple[str, str], count: int, seconds: float) -> IdleFigures:
    database_url, redis_url = urls
    async with lone_host(
        redis_url,
        folder,
        database_url,
        simulated_ai_seconds=0,
        conversation_idle_seconds=LONG_SECONDS,
        host_max_idle=10 * count,
        host_max_busy=count,
    ) as host:
        listening = asyncio.create_task(_listen(host))
        await _take_up(host, 0, FEW)
        await _send(host, seconds / 4)  # nothing is done for the first time after that
        empty_idle, empty_message = await _costs(host, seconds)
        before = _resident_bytes()
        began = time.perf_counter()
        await _take_up(host, FEW, FEW + count)
        loaded_per_second = count / (time.perf_counter() - began)
        bytes_each = (_resident_bytes() - before) / count
        full_idle, full_message = await _costs(host, seconds)
        listening.cancel()
    return IdleFigures(
        count,
        loaded_per_second,
        bytes_each,
        empty_idle,
        full_idle,
        empty_message,
        full_message,
    )


async def _listen(host: LoneHost) -> None:
    while True:
        for outcome in await host.hear():
            if outcome.kind is OutcomeKind.FAILED:
                raise RuntimeError(f"a turn failed: {outcome.reason}")


async def _take_up(host: LoneHost, start: int, end: int) -> None:
    """Have the host take up conversations, so many at a time."""
    for first in range(start, end, AT_ONCE):
        last = min(end, first + AT_ONCE)
        await host.tell(
            [
                Envelope(conversation_id=conversation_id(it), kind=EnvelopeKind.POKE, epoch=1)
                for it in range(first, last)
            ]
        )
        await _settle(host, last)


async def _settle(host: LoneHost, leases: int = 0) -> None:
    """Wait until the host has so many leases and nothing to do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        # A host tells nobody when it has come to rest.
        while (report := await host.report()).redis_leases < leases or report.busy:  # noqa: ASYNC110
            await asyncio.sleep(EVERY_SECONDS)


async def _costs(host: LoneHost, seconds: float) -> tuple[float, float]:
    """Return the share of a core without messages, and the microseconds that a message adds."""
    gc.collect()
    began = time.process_time()
    await asyncio.sleep(seconds)
    idle_share = (time.process_time() - began) / seconds
    used, messages, lasted = await _send(host, seconds)
    return idle_share, (used - idle_share * lasted) / messages * 1e6


async def _send(host: LoneHost, seconds: float) -> tuple[float, int, float]:
    """Send messages at a steady pace; return processor seconds, how many, and the seconds."""
    count = int(MESSAGES_PER_SECOND * seconds)
    envelopes = await stored_messages(
        host.storage, [conversation_id(it % FEW) for it in range(count)]
    )
    size = int(MESSAGES_PER_SECOND * EVERY_SECONDS)
    used, began = time.process_time(), time.perf_counter()
    for number, start in enumerate(range(0, count, size)):
        await asyncio.sleep(max(0.0, began + number * EVERY_SECONDS - time.perf_counter()))
        await host.tell(envelopes[start : start + size])
    await _settle(host)
    return time.process_time() - used, count, time.perf_counter() - began


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure and print."""
    folder, database_url, redis_url, count, seconds = sys.argv[1:]
    configure_logging("WARNING")
    urls = (database_url, redis_url)
    figures = run_in_loop(_measure(Path(folder), urls, int(count), float(seconds)))
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
