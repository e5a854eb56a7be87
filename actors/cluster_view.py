"""A cluster as its supervisor last described it."""

from __future__ import annotations

from actors.codec import ClusterReport
from actors.router import RoutingTable

__all__ = ["ClusterView"]


class ClusterView:
    """The latest report, and what follows from it."""

    def __init__(self) -> None:
        self.report = ClusterReport(table=RoutingTable())

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
                "waiting_messages": it.waiting_messages,
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
