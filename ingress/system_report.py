"""What operators see of the system, and its clean-up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from actors.action_data import SUPPORTED_ACTION_TYPES
from ingress.health import HealthMonitor, HealthStatus
from ingress.ports import Gateway
from ingress.stores import RedisPort, SystemStore
from storage.postgres import DatabaseUnavailable
from storage.views import ConversationStatistics, StuckConversation

__all__ = ["Removed", "SystemReport"]

_LONGEST_AGE_HOURS = 876_000.0
"""A hundred years: nothing is older, and PostgreSQL can still count with it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a clean-up removed; in a dry run, which rows it would have removed."""

    conversations: int
    messages: int
    jobs: int
    actions: int
    redis_states: int
    orphaned_leases: int


class SystemReport:
    """Gathers from the database, Redis and the actors."""

    def __init__(
        self,
        store: SystemStore,
        redis: RedisPort | None,
        gateway: Gateway,
        health: HealthMonitor,
    ) -> None:
        self._store = store
        self._redis = redis
        self._gateway = gateway
        self._health = health

    async def count(self) -> ConversationStatistics:
        """Count conversations. Raises ``DatabaseUnavailable``."""
        return await self._store.conversation_statistics()

    async def health(self, counts: ConversationStatistics | None = None) -> dict[str, Any]:
        """Return what works; with the database away, what it would say is null.

        ``counts`` are those of a moment ago, of who asks often: counting is the dear part.
        """
        stuck: list[StuckConversation] | None = None
        try:
            counts = counts or await self.count()
            stuck = await self._store.stuck_conversations()
            is_connected = True
        except DatabaseUnavailable:
            counts = None
            is_connected = False
        status = self._health.status if is_connected else HealthStatus.UNHEALTHY
        return {
            "status": status.value,
            "statistics": {
                "total_conversations": counts.total if counts else None,
                "active_ai_tasks": counts.active_processing if counts else None,
                "stuck_conversations": None if stuck is None else len(stuck),
            },
            "redis_status": _connected(self._health.is_redis_connected),
            "postgres_status": _connected(is_connected),
            "storage_backend": self._health.storage_backend,
            "stuck_conversations": [asdict(it) for it in stuck or ()],
            "supported_action_types": list(SUPPORTED_ACTION_TYPES),
        }

    async def statistics(self) -> dict[str, Any]:
        """Return figures. Raises ``DatabaseUnavailable``."""
        counts = await self.count()
        postgres = await self._store.postgres_statistics()
        return {
            "conversations": asdict(counts),
            "redis_stats": await self._redis.statistics() if self._redis else None,
            "postgres_stats": asdict(postgres) if postgres else None,
            "actors": self._gateway.describe_actors(),
            "storage_backend": self._health.storage_backend,
        }

    async def cleanup(self, max_age_hours: float, *, dry_run: bool) -> Removed:
        """Drop what has been idle for longer. Raises ``DatabaseUnavailable``."""
        states = leases = 0

        async def forget(conversation_ids: list[str]) -> None:
            nonlocal states, leases
            for conversation_id in conversation_ids:
                self._gateway.notify_erased(conversation_id)
            if self._redis is not None:
                states += await self._redis.forget(conversation_ids)
                leases += await self._redis.release_many(conversation_ids)

        hours = min(max_age_hours, _LONGEST_AGE_HOURS)
        rows = await self._store.cleanup(hours, dry_run=dry_run, on_erased=forget)
        leases += await self._release_orphans(dry_run=dry_run)
        return Removed(**asdict(rows), redis_states=states, orphaned_leases=leases)

    async def _release_orphans(self, *, dry_run: bool) -> int:
        """Delete the leases of conversations that are not there; return how many there were.

        A conversation is stored before anybody takes its lease, so none of these is in use.
        """
        count = 0
        if self._redis is None:
            return count
        async for leased in self._redis.leased():
            orphans = await self._store.unknown_conversations(leased)
            if orphans and not dry_run:
                await self._redis.release_many(orphans)
            count += len(orphans)
        return count


def _connected(is_connected: bool) -> str:
    return "connected" if is_connected else "disconnected"
