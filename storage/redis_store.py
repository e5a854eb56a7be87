"""All of Redis that one process uses: leases, states, channels, statistics, over one client."""

from __future__ import annotations

import time
from collections.abc import Sequence

from storage.redis_channels import Channels
from storage.redis_client import RedisClient
from storage.redis_lease import LeaseAnswer, LeaseRequest, MessageLockManager
from storage.redis_state import CachedState, StateCache
from storage.settings import Settings

__all__ = ["RedisStore"]


class RedisStore:
    """Leases and states of one owner, over one pool of connections.

    ``open`` gives None where no Redis is configured. Close it in the event loop that uses it.
    """

    def __init__(
        self,
        client: RedisClient,
        locks: MessageLockManager,
        states: StateCache,
        channels: Channels,
    ) -> None:
        self.client = client
        self.locks = locks
        self.states = states
        self.channels = channels

    @classmethod
    def open(cls, settings: Settings, owner: str) -> RedisStore | None:
        """Make a store; it connects when it is first used."""
        client = RedisClient.from_settings(settings)
        if client is None:
            return None
        locks = MessageLockManager(
            client,
            owner=owner,
            cluster=settings.cluster_name,
            ttl_seconds=settings.processing_lock_ttl,
            deadline_seconds=settings.lease_deadline_seconds,
        )
        return cls(
            client,
            locks,
            StateCache(client, ttl_seconds=settings.conversation_state_ttl),
            Channels(
                client,
                is_cluster=settings.redis_cluster,
                deadline_seconds=settings.lease_deadline_seconds,
            ),
        )

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self.client.is_connected

    async def activate(
        self, requests: Sequence[LeaseRequest]
    ) -> list[tuple[LeaseAnswer, CachedState | None]]:
        """Take leases and read the states with their contexts, in one round trip."""
        if not requests:
            return []
        sent_at = time.monotonic()
        replies = await self.client.run(
            [
                *(self.locks.acquire_command(it) for it in requests),
                *(
                    self.states.read_command(it.conversation_id, with_context=True)
                    for it in requests
                ),
            ],
            self.locks.deadline_seconds,
        )
        count = len(requests)
        leases, states = (replies[:count], replies[count:]) if replies else ([None] * count,) * 2
        return [
            (
                self.locks.acquire_answer(lease, sent_at),
                self.states.read_answer(request.conversation_id, state),
            )
            for request, lease, state in zip(requests, leases, states, strict=True)
        ]

    async def statistics(self) -> dict[str, object] | None:
        """Return what operators see of Redis, summed over its nodes; None while it is away."""
        nodes = await self.client.info()
        if not nodes:
            return None

        def total(name: str) -> int:
            return sum(int(node.get(name, 0)) for node in nodes)

        return {
            "connected_clients": total("connected_clients"),
            "used_memory_human": _human(total("used_memory")),
            "keyspace_hits": total("keyspace_hits"),
            "keyspace_misses": total("keyspace_misses"),
        }

    async def close(self) -> None:
        """Close all connections. Leases stay; release them first."""
        await self.client.close()


def _human(size: float) -> str:
    """Write a size as Redis does: ``45.20M``."""
    for unit in ("B", "K", "M", "G"):
        if size < 1024:
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.2f}{unit}"
        size /= 1024
    return f"{size:.2f}T"
