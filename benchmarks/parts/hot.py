"""How many messages of one conversation are taken in and answered in a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from actors.envelopes import envelope_of
from actors.host_link import HostLink
from actors.outcome import OutcomeKind
from actors.router import RoutingTable
from actors.writer_link import WriterLink
from benchmarks.parts.arrivals import new_message
from benchmarks.parts.lone_host import INGRESS, LoneHost, lone_host, run_in_loop
from benchmarks.parts.servers import Servers, fresh_database, started_servers
from benchmarks.result import Outcome, Table
from benchmarks.run import Run
from storage.records import Accepted

__all__ = ["measure_hot"]

CONVERSATION = "hot"
CASES = ((1, 0.0), (128, 0.0), (128, 0.05))
"""Messages in flight, and how long the AI takes."""
SETTLED = frozenset(OutcomeKind) - {OutcomeKind.STARTED}
"""After such a word nothing more is told: answered, or queued for the next turn."""


def measure_hot(run: Run) -> Outcome:
    """Measure with one and with many messages in flight, with a fast and a slow AI."""
    rows: list[tuple[str, float, float]] = []
    with started_servers(run.folder("hot")) as servers:
        for in_flight, ai_seconds in CASES:
            speeds = [
                run_in_loop(
                    _measure(servers, run.folder("hot"), ai_seconds, in_flight, run.seconds / 2)
                )
                for _ in range(run.rounds)
            ]
            rows.append((f"{in_flight:,}", ai_seconds * 1000, median(speeds)))
    columns = ("messages in flight", "AI, ms", "answered a second")
    note = (
        "All in one conversation: accepted, merged into turns with what else waits, answered and "
        "delivered. A caller sends its next message when its last is answered, or is known to be "
        "queued for the next turn, as the endpoint tells it."
    )
    return Outcome(tables=[Table("One hot conversation", columns, rows, note)])


async def _measure(
    servers: Servers, folder: Path, ai_seconds: float, in_flight: int, seconds: float
) -> float:
    async with (
        fresh_database(servers) as url,
        lone_host(servers.redis.url, folder, url, simulated_ai_seconds=ai_seconds) as host,
    ):
        traffic = _Traffic(host, (await host.table()))
        await traffic.run(in_flight, seconds / 4)
        return await traffic.run(in_flight, seconds)


class _Traffic:
    """An ingress with callers of one conversation, each of which waits to hear of its message."""

    def __init__(self, host: LoneHost, table: RoutingTable) -> None:
        self._host = host
        current: Callable[[], RoutingTable] = lambda: table  # noqa: E731 -- for both ways
        self._writer = WriterLink(host, current)
        self._hosts = HostLink(host, current)
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._answered = 0

    async def run(self, in_flight: int, seconds: float) -> float:
        """Keep so many in flight for a while, and wait until the last is answered.

        Return how many were answered a second.
        """
        listening = asyncio.create_task(self._listen())
        self._answered = 0
        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(self._call(until) for _ in range(in_flight)))
        await self._host.rest()
        lasted = time.perf_counter() - began
        listening.cancel()
        return self._answered / lasted

    async def _call(self, until: float) -> None:
        while time.perf_counter() < until:
            message = new_message(CONVERSATION)
            accepted = await self._writer.call(message)
            if not isinstance(accepted, Accepted):
                raise TypeError(f"the message was not accepted: {accepted}")
            answered = asyncio.get_running_loop().create_future()
            self._waiting[accepted.message_id] = answered
            await self._hosts.send(envelope_of(message, accepted, INGRESS, hears_start=False))
            await answered
            self._answered += 1

    async def _listen(self) -> None:
        while True:
            for outcome in await self._host.hear():
                if outcome.kind in SETTLED and outcome.message_id in self._waiting:
                    self._waiting.pop(outcome.message_id).set_result(None)
