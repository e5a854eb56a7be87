"""One real host in this process, with a writer in another: what a host by itself can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from actors.codec import (
    Envelope,
    HostReport,
    decode_host_report,
    decode_outcomes,
    encode,
    encode_envelopes,
)
from actors.host import ConversationHost
from actors.outcome import Outcome
from actors.ports import HostPort, SupervisorPort, WriterPort
from actors.router import RoutingTable
from benchmarks.parts.writer_process import WriterConnection, writer_process
from storage.settings import Settings

__all__ = ["INGRESS", "LoneHost", "lone_host", "run_in_loop"]

Answer = TypeVar("Answer")

INGRESS = "ingress-measuring"
NAME = "host-0"
DRAIN_SECONDS = 3.0
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.02


class LoneHost:
    """A host, and an ingress that waits for its outcomes."""

    def __init__(self, settings: Settings, writer: WriterConnection) -> None:
        self.storage = writer
        self.actor = ConversationHost(NAME, settings, self)
        self._next_number = 0

    def host(self, name: str) -> HostPort:
        """Return the only host."""
        return self.actor

    def writer(self, name: str) -> WriterPort:
        """Return the only writer."""
        return self.storage

    def supervisor(self) -> SupervisorPort:
        """There is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing was opened."""

    async def start(self) -> None:
        """Start the host, with all shards."""
        await self.actor.ping(encode(await self.table()))

    async def table(self) -> RoutingTable:
        """Return the routing table, in which the host has all shards."""
        report = await self.report()
        return RoutingTable(version=1, hosts=[report.host], writers=["writer-0"])

    async def report(self) -> HostReport:
        """Return how the host is."""
        return decode_host_report(await self.actor.ping(None))

    async def tell(self, envelopes: Sequence[Envelope], batch: int = 500) -> None:
        """Have the host told, in batches as an ingress sends them."""
        for start in range(0, len(envelopes), batch):
            await self.actor.receive(encode_envelopes(envelopes[start : start + batch]))
            await asyncio.sleep(0)

    async def rest(self, leases: int = 0) -> None:
        """Wait until the host has so many leases at least and nothing to do."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            # A host tells nobody when it has come to rest.
            while (report := await self.report()).busy or report.redis_leases < leases:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

    async def hear(self) -> list[Outcome]:
        """Return what the ingress is told next."""
        answer = await self.actor.next_outcomes(INGRESS, self._next_number)
        self._next_number, outcomes = decode_outcomes(answer)
        return outcomes


@asynccontextmanager
async def lone_host(
    redis_url: str, folder: Path, database_url: str, **settings: Any
) -> AsyncIterator[LoneHost]:
    """Start a host; ``settings`` are the product's. Its AI and platform are the simulated ones."""
    configured = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        **settings,
    )
    with writer_process(folder, database_url) as path:
        connection = WriterConnection(path)
        host = LoneHost(configured, connection)
        await host.start()
        try:
            yield host
        finally:
            await host.actor.drain(DRAIN_SECONDS)
            connection.close()


def run_in_loop(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run in the kind of event loop that hosts have as Ray's actors."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
