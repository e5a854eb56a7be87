"""The lease: one key in Redis a conversation, which keeps owners apart.

A lease says who works on a conversation. It is a help, not the guard: that is the epoch in the
database. So an outcome may be unknown, and then nobody is harmed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from storage.redis_client import Command, RedisClient, Script

__all__ = [
    "MOST_RENEWED_AT_ONCE",
    "HeldLease",
    "LeaseAnswer",
    "LeaseHolder",
    "LeaseOutcome",
    "LeaseRequest",
    "MessageLockManager",
    "RenewalOutcome",
]

_log = structlog.get_logger(__name__)
_ACQUIRE = Script("acquire_lease")
_RENEW = Script("renew_lease")
_RELEASE = Script("release_lease")
MOST_RENEWED_AT_ONCE = 250
"""By one command: for a fraction of a millisecond Redis does nothing else."""


class LeaseOutcome(StrEnum):
    """What became of an attempt to take a lease."""

    GRANTED = "granted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """Redis did not answer in time. The lease may have been granted; trying again is safe."""


class RenewalOutcome(StrEnum):
    """What became of an attempt to extend or to give up a lease."""

    RENEWED = "renewed"
    RELEASED = "released"
    LOST = "lost"
    """It is not held under this lock id any more."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Ask for a lease. Asking again with the same lock id is the same request."""

    conversation_id: str
    lock_id: str
    take_over_from: str | None = None
    """An owner known to be dead (or ourselves, under a lock id given up): its lease is replaced."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that we hold, to be renewed or released."""

    conversation_id: str
    lock_id: str


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who holds a lease, and for how long if it is not renewed."""

    owner: str
    cluster: str
    lock_id: str
    remaining_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """Answer to a ``LeaseRequest``; who holds it is said when it was refused."""

    outcome: LeaseOutcome
    sent_at: float
    """When it was asked, on ``time.monotonic()``: trust in the lease counts from here."""
    owner: str | None = None
    cluster: str | None = None
    remaining_seconds: float = 0.0


class MessageLockManager:
    """The leases of one owner. No method raises on trouble with Redis.

    All work on many leases at once, in one round trip, and give up after ``deadline_seconds``
    (default: a sixth of the lease's time).
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        owner: str,
        cluster: str,
        ttl_seconds: float,
        deadline_seconds: float | None = None,
    ) -> None:
        self.ttl_seconds = ttl_seconds
        self.deadline_seconds = deadline_seconds or ttl_seconds / 6
        self._client = client
        self._owner = owner
        self._cluster = cluster
        self._ttl_ms = round(ttl_seconds * 1000)

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._client.is_connected

    async def acquire(self, requests: Sequence[LeaseRequest]) -> list[LeaseAnswer]:
        """Take leases; the answers are in the order of the requests."""
        sent_at = time.monotonic()
        replies = await self._run([self.acquire_command(request) for request in requests])
        return [self.acquire_answer(reply, sent_at) for reply in replies]

    async def renew(self, leases: Sequence[HeldLease]) -> list[RenewalOutcome]:
        """Extend leases by their whole time, each if it is still held under its lock id.

        A command of its own for each would cost ten times as much, here and in Redis.
        """
        size = MOST_RENEWED_AT_ONCE if self._client.takes_many_keys else 1
        parts = [leases[start : start + size] for start in range(0, len(leases), size)]
        replies = await self._run(
            [
                _RENEW.call_many(
                    [lease_key(it.conversation_id) for it in part],
                    self._ttl_ms,
                    *(it.lock_id for it in part),
                )
                for part in parts
            ]
        )
        outcomes: list[RenewalOutcome] = []
        for part, reply in zip(parts, replies, strict=True):
            outcomes += _renewals(reply, len(part))
        return outcomes

    async def release(self, leases: Sequence[HeldLease]) -> list[RenewalOutcome]:
        """Give leases up, each if it is still held under its lock id."""
        replies = await self._run(
            [_RELEASE.call(lease_key(it.conversation_id), it.lock_id) for it in leases]
        )
        return [_release(reply) for reply in replies]

    async def force_release(self, conversation_id: str) -> bool:
        """Delete a lease, whoever holds it; return whether there was one.

        Raise the conversation's epoch first: that is what stops the holder.
        """
        return await self.force_release_many([conversation_id]) == 1

    async def force_release_many(self, conversation_ids: Sequence[str]) -> int:
        """Delete leases, whoever holds them; return how many there were."""
        replies = await self._run([("DEL", lease_key(it)) for it in conversation_ids])
        return sum(reply == 1 for reply in replies)

    async def leased(self) -> AsyncIterator[list[str]]:
        """Yield the ids of conversations that are leased, in pages. For rare work only."""
        if not self._client.is_connected:
            return
        async for keys in self._client.keys(lease_key("*")):
            yield [key.removeprefix(lease_key("")) for key in keys]

    async def inspect(self, conversation_ids: Sequence[str]) -> list[LeaseHolder | None]:
        """Say who holds leases. None: nobody, or Redis is away (see ``is_connected``)."""
        keys = [lease_key(it) for it in conversation_ids]
        replies = await self._run(
            [("HMGET", key, "owner", "cluster", "lock_id") for key in keys]
            + [("PTTL", key) for key in keys]
        )
        pairs = zip(replies[: len(keys)], replies[len(keys) :], strict=True)
        return [_holder(fields, remaining_ms) for fields, remaining_ms in pairs]

    def acquire_command(self, request: LeaseRequest) -> Command:
        """Return the command of ``acquire``, for a pipeline that does more than that."""
        return _ACQUIRE.call(
            lease_key(request.conversation_id),
            self._owner,
            self._cluster,
            request.lock_id,
            self._ttl_ms,
            request.take_over_from or "",
        )

    def acquire_answer(self, reply: Any, sent_at: float) -> LeaseAnswer:
        """Read the reply to ``acquire_command``; None is that there was none."""
        if not isinstance(reply, list):
            return LeaseAnswer(LeaseOutcome.UNKNOWN, sent_at)
        if not reply:
            return LeaseAnswer(LeaseOutcome.GRANTED, sent_at)
        owner, cluster, remaining_ms = reply
        return LeaseAnswer(
            LeaseOutcome.REFUSED,
            sent_at,
            owner=owner.decode(),
            cluster=cluster.decode(),
            remaining_seconds=max(0, remaining_ms) / 1000,
        )

    async def _run(self, commands: list[Command]) -> list[Any]:
        """Return the replies; None where there is none, or where it is an error."""
        if not commands:
            return []
        replies = await self._client.run(commands, self.deadline_seconds)
        if replies is None:
            return [None] * len(commands)
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            _log.warning(
                "Redis refused lease commands", count=len(errors), error=str(errors[0])[:200]
            )
        return [None if isinstance(reply, Exception) else reply for reply in replies]


def lease_key(conversation_id: str) -> str:
    """Return the key of a conversation's lease."""
    return f"lease:{conversation_id}"


def _renewals(reply: Any, count: int) -> list[RenewalOutcome]:
    """Read the reply to a renewal of so many: the places of those that were not renewed."""
    if not isinstance(reply, list):
        return [RenewalOutcome.UNKNOWN] * count
    outcomes = [RenewalOutcome.RENEWED] * count
    for place in reply:
        outcomes[abs(place) - 1] = RenewalOutcome.LOST if place > 0 else RenewalOutcome.UNKNOWN
    return outcomes


def _release(reply: Any) -> RenewalOutcome:
    if reply is None:
        return RenewalOutcome.UNKNOWN
    return RenewalOutcome.RELEASED if reply == 1 else RenewalOutcome.LOST


def _holder(fields: Any, remaining_ms: Any) -> LeaseHolder | None:
    if not isinstance(fields, list) or None in fields or remaining_ms is None:
        return None
    owner, cluster, lock_id = (field.decode() for field in fields)
    return LeaseHolder(owner, cluster, lock_id, max(0, remaining_ms) / 1000)
