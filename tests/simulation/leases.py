"""Who had been promised a conversation, and until when, by the stores' own clocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from storage.records import LeaseKind

__all__ = ["Leases"]


@dataclass(slots=True, eq=False)
class _Promises:
    """What the stores have said about one conversation."""

    until: dict[str, float] = field(default_factory=dict)
    """The end of each owner's lease, in whichever store."""
    in_redis_since: dict[str, float] = field(default_factory=dict)
    """When Redis last gave each owner a lease, or extended it."""
    broken_at: float = -1.0
    """When Redis last forgot a lease that it had given: an operator deleted it."""


class Leases:
    """The latest promises to each owner."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._promises: defaultdict[str, _Promises] = defaultdict(_Promises)
        self._forgot_at = -1.0

    def hold(self, conversation_id: str, owner: str, ttl_seconds: float, kind: LeaseKind) -> None:
        """Note that a store gave (or extended) a lease just now."""
        promises, now = self._promises[conversation_id], self._now()
        promises.until[owner] = max(now + ttl_seconds, promises.until.get(owner, 0.0))
        if kind is LeaseKind.REDIS:
            promises.in_redis_since[owner] = now

    def forget(self) -> None:
        """Redis came back empty."""
        self._forgot_at = self._now()

    def delete(self, conversation_id: str) -> None:
        """An operator deleted a lease."""
        self._promises[conversation_id].broken_at = self._now()

    def give_back(self, conversation_id: str, owner: str) -> None:
        """Note that an owner gave its lease in Redis back."""
        self._promises[conversation_id].in_redis_since.pop(owner, None)

    def is_held_in_redis(self, conversation_id: str, owner: str) -> bool:
        """Whether an owner has a lease in Redis that it has not given back."""
        has_one = owner in self._promises[conversation_id].in_redis_since
        return has_one and self.is_trusted(conversation_id, owner)

    def is_trusted(self, conversation_id: str, owner: str) -> bool:
        """Whether an owner may still believe in its lease."""
        return self._now() <= self._promises[conversation_id].until.get(owner, 0.0)

    def was_broken(self, conversation_id: str, owner: str) -> bool:
        """Whether a lease in Redis may have gone to another before its time."""
        promises = self._promises[conversation_id]
        since = promises.in_redis_since.get(owner, -1.0)
        return since <= max(self._forgot_at, promises.broken_at)
