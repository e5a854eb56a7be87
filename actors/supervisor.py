"""The actor that makes hosts and writers, says where to route, and finds work nobody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from actors.codec import ClusterReport, HostReport, decode_host_report, encode
from actors.ports import Directory, PeerUnavailable
from actors.router import Host, RoutingTable
from actors.sweeper import Sweeper
from storage.settings import Settings

__all__ = ["ActorFactory", "Supervisor", "actor_names"]

log = structlog.get_logger()

PING_INTERVAL_SECONDS = 0.5
PING_TIMEOUT_SECONDS = 2.0
"""A host that has not answered for so long leaves the routing table."""
WATCH_SECONDS = 0.5


def actor_names(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the names of the hosts and of the writers that a cluster has."""
    hosts = [f"host-{number}" for number in range(settings.conversation_hosts)]
    writers = [f"writer-{number}" for number in range(settings.storage_writers)]
    return hosts, writers


class ActorFactory(Protocol):
    """Makes the actors that the supervisor looks after. Making one that is there finds it."""

    def make_host(self, name: str) -> None:
        """Make a ``ConversationHost``."""
        ...

    def make_writer(self, name: str) -> None:
        """Make a ``StorageWriter``."""
        ...


class Supervisor:
    """Looks after the actors of a cluster; made to be a Ray actor.

    It keeps nothing that it cannot find again: a restarted one finds the others by name.
    """

    def __init__(self, settings: Settings, directory: Directory, factory: ActorFactory) -> None:
        self._directory = directory
        self._factory = factory
        self._hosts, self._writers = actor_names(settings)
        # Newer than any table of an earlier incarnation.
        self._table = RoutingTable(version=time.time_ns() // 1_000_000)
        self._reports: dict[str, tuple[HostReport, float]] = {}
        self._latest: dict[str, Host] = {}
        """The incarnation of each host that was heard of last, even if it is silent now."""
        self._writer_health: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper = Sweeper(settings, directory, lambda: self._table)

    def __repr__(self) -> str:
        return "Supervisor"

    async def watch(self, version: int) -> bytes:
        """Return the cluster's report, at once if its routing table is newer than ``version``.

        Otherwise that is when the table changes, or after ``WATCH_SECONDS``.
        """
        await self._started()
        if version >= self._table.version:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass  # nothing has changed: the report is fresh all the same
        return encode(
            ClusterReport(
                table=self._table,
                hosts=[report for report, _ in self._reports.values()],
                writers=dict(self._writer_health),
            )
        )

    async def _started(self) -> None:
        async with self._starting:
            if self._tasks:
                return
            for name in self._writers:
                self._factory.make_writer(name)
            for name in self._hosts:
                self._factory.make_host(name)
            for work in (self._watch_hosts(), self._watch_writers(), self._sweeper.run()):
                self._spawn(work)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch_hosts(self) -> None:
        await asyncio.gather(*(self._watch_host(name) for name in self._hosts))

    async def _watch_host(self, name: str) -> None:
        while True:
            has_answered = await self._hear_of(name)
            self._update_table(self._replaced(name))
            if not (has_answered and self._lacks_table(name)):
                await asyncio.sleep(PING_INTERVAL_SECONDS)

    async def _hear_of(self, name: str) -> bool:
        """Ask a host how it is; return whether it has answered."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                self._reports[name] = (await self._ping(name), time.monotonic())
        except (PeerUnavailable, TimeoutError) as error:
            log.warning("host_silent", host=name, error=type(error).__name__)
            return False
        return True

    def _lacks_table(self, name: str) -> bool:
        """Whether a host that answers has an older table."""
        known = self._reports.get(name)
        return known is not None and known[0].table_version != self._table.version

    async def _ping(self, name: str) -> HostReport:
        is_news = name not in self._reports or self._lacks_table(name)
        table = encode(self._table) if is_news else None
        return decode_host_report(await self._directory.host(name).ping(table))

    def _replaced(self, name: str) -> list[str]:
        """Return the owner that a restarted host was before: its process is surely gone."""
        if name not in self._reports:
            return []
        report = self._reports[name][0]
        present = report.host
        before = self._latest.get(name)
        self._latest[name] = present
        return [before.owner] if before is not None and before != present else []

    def _update_table(self, dead: list[str]) -> None:
        now = time.monotonic()
        for name, (_, seen_at) in list(self._reports.items()):
            if now - seen_at > PING_TIMEOUT_SECONDS:
                del self._reports[name]
        live = [report.host for report, _ in self._reports.values() if not report.is_draining]
        table = self._table.succeeded_by(live, self._writers, dead)
        if table is not self._table:
            log.info("routing_changed", version=table.version, hosts=[h.owner for h in table.hosts])
            self._table = table
            self._changed.set()
            self._changed = asyncio.Event()

    async def _watch_writers(self) -> None:
        while True:
            for name in self._writers:
                try:
                    async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                        healthy = await self._directory.writer(name).ping()
                except (PeerUnavailable, TimeoutError):
                    healthy = False
                self._writer_health[name] = healthy
            await asyncio.sleep(PING_INTERVAL_SECONDS)
