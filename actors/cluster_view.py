"""A cluster as its supervisor last described it."""

from __future__ import annotations

import time

import msgspec

from actors.codec import ClusterReport, HostReport
from actors.router import RoutingTable

__all__ = ["ClusterView"]

CURRENT_SECONDS = 5.0
"""A report older than that says nothing of how things are; its table still holds."""
AWAY_SECONDS = 1.0
"""A writer without its database for so long is taken to stay so for now."""


class ClusterView:
    """The latest report, and what follows from it."""

    def __init__(self) -> None:
        self.report = ClusterReport(table=RoutingTable())
        self._reported_at = 0.0
        self._hosts: dict[str, HostReport] = {}
        self._away_since: dict[str, float] = {}

    def update(self, report: ClusterReport) -> None:
        """Take in a new report."""
        now = self._reported_at = time.monotonic()
        if report.table == self.table:  # what was worked out from it still holds
            report = msgspec.structs.replace(report, table=self.table)
        self.report = report
        self._hosts = {it.name: it for it in report.hosts}
        self._away_since = {
            name: self._away_since.get(name, now)
            for name, is_healthy in report.writers.items()
            if not is_healthy
        }

    def note_writers(self, writers: dict[str, bool]) -> None:
        """Take in which writers reach the database, where no report says so."""
        self.report = msgspec.structs.replace(self.report, writers=writers)

    def report_of(self, host: str) -> HostReport | None:
        """Return how a host is; None where that is not known."""
        return self._hosts.get(host) if self._is_current else None

    def is_away(self, writer: str | None) -> bool:
        """Whether a writer is known to be without its database, or does not answer itself."""
        since = self._away_since.get(writer or "")
        return since is not None and self._is_current and self._reported_at - since >= AWAY_SECONDS

    @property
    def _is_current(self) -> bool:
        return time.monotonic() - self._reported_at < CURRENT_SECONDS

    @property
    def table(self) -> RoutingTable:
        """Where to route."""
        return self.report.table

    @property
    def is_serving(self) -> bool:
        """Whether every writer reaches the database, and a host answers."""
        writers = self.report.writers
        return bool(self.table.hosts) and bool(writers) and all(writers.values())

    @property
    def redis_everywhere(self) -> bool:
        """Whether every host has its leases in Redis."""
        hosts = self.report.hosts
        return bool(hosts) and all(it.has_redis and not it.database_leases for it in hosts)

    def describe_actors(self) -> list[dict[str, object]]:
        """One object an actor, for operators."""
        hosts: list[dict[str, object]] = [
            {
                "kind": "ConversationHost",
                "name": it.name,
                "owner": it.host.owner,
                "node": it.node,
                "process_id": it.process_id,
                "conversations": it.conversations,
                "turns": it.turns,
                "busy": it.busy,
                "waiting_messages": it.waiting_messages,
                "characters": it.characters,
                "redis_leases": it.redis_leases,
                "database_leases": it.database_leases,
                "has_redis": it.has_redis,
                "shards": len(self.table.shards_of(it.name)),
            }
            for it in self.report.hosts
        ]
        writers: list[dict[str, object]] = [
            {"kind": "StorageWriter", "name": name, "has_database": is_healthy}
            for name, is_healthy in self.report.writers.items()
        ]
        return [*hosts, *writers]
