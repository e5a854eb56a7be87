"""The actor that makes hosts and writers, says where to route, and finds work nobody does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from actors.codec import (
    ClusterReport,
    HostReport,
    decode_host_report,
    encode,
)
from actors.nodes import Node, writer_names
from actors.ports import Directory, PeerUnavailable
from actors.roster import ActorFactory, Roster
from actors.router import Host, RoutingTable
from actors.sweeper import Sweeper
from actors.writer_health import healthy_writers, writer_figures
from storage.metric_types import Figures, figures_of
from storage.metrics import (
    HOST_RESTARTS,
    HOSTS,
    HOSTS_WANTED,
    ROUTING_CHANGES,
    SUPERVISOR,
    encode_figures,
)
from storage.settings import Settings
from storage.tasks import keep_running, wait_at_most

__all__ = ["Supervisor"]

log = structlog.get_logger()

PING_INTERVAL_SECONDS = 0.5
PING_TIMEOUT_SECONDS = 2.0
"""A host that has not answered for so long leaves the routing table."""
WATCH_SECONDS = 0.5
FIGURES_SECONDS = 2.0
"""How often the writers are asked what they have counted."""
NODES_SECONDS = 1.0
"""How often the machines of the cluster are counted."""
DRAIN_SECONDS = 120.0
"""How long the last turns of a host may take whose machine is about to go."""
LINGER_SECONDS = 5.0
"""How long a host without work stays, for those who fetch outcomes or have an older table."""


class Supervisor:
    """Looks after the actors of a cluster; made to be a Ray actor.

    It keeps nothing that it cannot find again: a restarted one finds the others by name.
    """

    def __init__(self, settings: Settings, directory: Directory, factory: ActorFactory) -> None:
        self._directory = directory
        self._writers = writer_names(settings)
        self._roster = Roster(factory, settings, busy=self._count_busy)
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._unheard: set[str] | None = None
        """Those of the start that no ping has been tried with yet; None: they are not known."""
        self._drains: dict[str, asyncio.Task[None]] = {}
        # Newer than any table of an earlier incarnation.
        self._table = RoutingTable(version=time.time_ns() // 1_000_000)
        self._reports: dict[str, tuple[HostReport, float]] = {}
        self._latest: dict[str, Host] = {}
        """The incarnation of each host that was heard of last, even if it is silent now."""
        self._writer_health: dict[str, bool] = {}
        self._writer_figures: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper = Sweeper(settings, directory, lambda: self._table)

    def __repr__(self) -> str:
        return f"Supervisor({socket.gethostname()})"

    def figures(self) -> Figures:
        """Return what the metrics of this process hold."""
        HOSTS.set(len(self._table.hosts))
        HOSTS_WANTED.set(len(self._watchers))
        return figures_of(SUPERVISOR)

    async def watch(self, version: int) -> bytes:
        """Return the cluster's report, at once if its routing table is newer than ``version``.

        Otherwise that is when the table changes, or after ``WATCH_SECONDS``.
        """
        await self._started()
        if version >= self._table.version:
            # If nothing has changed the report is fresh all the same.
            await wait_at_most(self._changed, WATCH_SECONDS)
        return encode(
            ClusterReport(
                table=self._table,
                hosts=[report for report, _ in self._reports.values()],
                writers=dict(self._writer_health),
                figures={"supervisor": encode_figures(self.figures()), **self._writer_figures},
            )
        )

    async def _started(self) -> None:
        async with self._starting:
            if self._tasks:
                return
            sweep = self._sweeper.run
            for work in (self._watch_hosts, self._watch_writers, self._read_figures, sweep):
                self._spawn(keep_running(work.__name__, work))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watch_hosts(self) -> None:
        """Watch the hosts that there should be: they follow the machines of the cluster."""
        while True:
            hosts = await self._roster.look(silent=lambda name: name not in self._reports)
            if hosts is not None:
                if self._unheard is None:
                    self._unheard = set(hosts)
                self._follow(hosts)
            await asyncio.sleep(NODES_SECONDS)

    def _follow(self, hosts: dict[str, Node]) -> None:
        for name in hosts.keys() - self._watchers.keys():
            self._watchers[name] = self._spawn(
                keep_running("watch_host", partial(self._watch_host, name))
            )
        for name in self._watchers.keys() - hosts.keys():
            log.info("host_gone", host=name)
            self._watchers.pop(name).cancel()
            self._reports.pop(name, None)
            self._drains.pop(name, None)
            (self._unheard or set()).discard(name)
        self._update_table([])
        leaving = {name: node for name, node in hosts.items() if node.is_leaving}
        if len(leaving) < len(hosts):  # else there is nobody to hand anything to
            for name, node in leaving.items():
                self._let_leave(name, node)
        for name in hosts.keys() - leaving.keys():
            if name in self._reports and self._reports[name][0].is_draining:
                # Its machine was spare for a while: a host that left does not come back.
                self._let_leave(name, hosts[name])

    def _count_busy(self) -> int:
        return sum(report.busy for report, _ in self._reports.values())

    def _let_leave(self, name: str, node: Node) -> None:
        known = self._reports.get(name)
        under_way = self._drains.get(name)
        is_idle = under_way is None or under_way.done()
        is_to_end = not node.is_draining  # else it ends with its machine
        if known is not None and is_idle and (is_to_end or not known[0].is_draining):
            self._drains[name] = self._spawn(self._drain(name, node, known[0].host))

    async def _drain(self, name: str, node: Node, leaving: Host) -> None:
        """Let a host hand all it has to the others, because its machine is about to go.

        A machine that has an actor is never idle, and so would not be taken away as a spare one.
        """
        log.info("host_leaves", host=name)
        try:
            async with asyncio.timeout(DRAIN_SECONDS + 1):
                await self._directory.host(name).drain(DRAIN_SECONDS)
        except (PeerUnavailable, TimeoutError) as error:
            log.warning("drain_failed", host=name, error=type(error).__name__)
        if node.is_draining:
            return
        await asyncio.sleep(LINGER_SECONDS)
        if name in self._reports and self._reports[name][0].host == leaving:
            await self._roster.end_host(name)  # else it was started again meanwhile, and serves

    async def _watch_host(self, name: str) -> None:
        while True:
            has_answered = await self._hear_of(name)
            if self._unheard:
                self._unheard.discard(name)
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
        if before is None or before == present:
            return []
        HOST_RESTARTS.add()
        return [before.owner]

    def _update_table(self, dead: list[str]) -> None:
        if self._unheard or self._unheard is None:
            return  # a table without those that have not been asked yet would move their shards
        now = time.monotonic()
        for name, (_, seen_at) in list(self._reports.items()):
            if now - seen_at > PING_TIMEOUT_SECONDS:
                del self._reports[name]
        live = [report.host for report, _ in self._reports.values() if not report.is_draining]
        table = self._table.succeeded_by(live, self._writers, dead)
        if table is not self._table:
            log.info("routing_changed", version=table.version, hosts=[h.owner for h in table.hosts])
            ROUTING_CHANGES.add()
            self._table = table
            self._changed.set()
            self._changed = asyncio.Event()

    async def _watch_writers(self) -> None:
        while True:
            self._writer_health = await healthy_writers(self._directory, self._writers)
            await asyncio.sleep(PING_INTERVAL_SECONDS)

    async def _read_figures(self) -> None:
        while True:
            self._writer_figures = await writer_figures(self._directory, self._writers)
            await asyncio.sleep(FIGURES_SECONDS)
