"""``ingress.stores.RedisPort`` over ``storage.redis_store``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from storage.redis_lease import LeaseHolder
from storage.redis_store import RedisStore

__all__ = ["RedisAdapter"]


class RedisAdapter:
    """Redis as the routes need it. Nothing here raises while it is away."""

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._redis.is_connected

    async def ping(self) -> bool:
        """Ask now."""
        return await self._redis.client.ping()

    async def holder(self, conversation_id: str) -> LeaseHolder | None:
        """Who holds a conversation's lease."""
        return (await self._redis.locks.inspect([conversation_id]))[0]

    async def release(self, conversation_id: str) -> bool:
        """Delete a lease, whoever holds it; return whether there was one."""
        return await self._redis.locks.force_release(conversation_id)

    def leased(self) -> AsyncIterator[list[str]]:
        """Yield the ids of conversations that are leased, in pages."""
        return self._redis.locks.leased()

    async def release_many(self, conversation_ids: Sequence[str]) -> int:
        """Delete leases, whoever holds them; return how many there were."""
        return await self._redis.locks.force_release_many(conversation_ids)

    async def forget(self, conversation_ids: Sequence[str]) -> int:
        """Delete states; return how many there were."""
        return await self._redis.states.delete(conversation_ids)

    async def statistics(self) -> dict[str, object] | None:
        """What operators see of Redis; None while it is away."""
        return await self._redis.statistics()
