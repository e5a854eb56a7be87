"""Taking conversations: lease, claim, and the messages that wait in the database."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import msgspec
import structlog

from actors.cluster_link import HostAddress
from actors.conversation.effects import AcquireLease, Claim, FetchPending, ReleaseLease
from actors.conversation.events import (
    Claimed,
    ClaimMissing,
    ClaimRefused,
    ClaimStale,
    Event,
    LeaseGranted,
    LeaseKind,
    LeaseLost,
    LeaseRefused,
    LeaseUnknown,
    PendingFetched,
)
from actors.resources import Resources
from actors.seat import Seat
from actors.translation import PolicyBook, delivery_of, lines_of, message_of
from actors.writes import write
from storage.batch import Batcher
from storage.claim_records import Claim as StoredClaim
from storage.claim_records import ClaimOutcome, ClaimRequest, OwnerRenewal
from storage.claims import PendingMessages, read_pending_messages
from storage.codec import Result
from storage.metrics import LEASES_REFUSED
from storage.postgres import DatabaseUnavailable
from storage.records import LeaseKind as StoredLeaseKind
from storage.redis_lease import HeldLease, LeaseAnswer, LeaseOutcome, LeaseRequest
from storage.redis_state import CachedState

__all__ = ["Activation"]

MAX_BATCH = 500
MAX_QUEUED = 100_000
FETCH_PAUSE_SECONDS = 0.5
LONGEST_REFUSAL_SECONDS = 1.0
"""A refused lease is asked for again at least this often, since it may be given back early."""

log = structlog.get_logger()

_Granted = tuple[LeaseAnswer, CachedState | None]


class Activation:
    """Performs the effects with which a conversation is taken and given back, many at once."""

    def __init__(self, resources: Resources, policies: PolicyBook, message_limit: int) -> None:
        self._resources = resources
        self._policies = policies
        self._message_limit = message_limit
        self._leases: Batcher[LeaseRequest, _Granted] = Batcher(
            self._acquire_many, max_batch=MAX_BATCH, max_queued=MAX_QUEUED
        )
        self._releases: Batcher[HeldLease, None] = Batcher(
            self._release_many, max_batch=MAX_BATCH, max_queued=MAX_QUEUED
        )
        self._reads: Batcher[str, PendingMessages] = Batcher(
            self._read_many, max_batch=MAX_BATCH, max_queued=MAX_QUEUED
        )

    async def acquire(self, seat: Seat, effect: AcquireLease) -> Event:
        """Ask Redis for the lease; without Redis it is unknown who has it."""
        lock_id = str(uuid.uuid4())
        if self._resources.redis is None:
            return LeaseUnknown(effect.attempt, lock_id)
        request = LeaseRequest(seat.conversation_id, lock_id)
        ((answer, state),) = await self._leases.submit([request])
        if answer.outcome is LeaseOutcome.UNKNOWN:
            return LeaseUnknown(effect.attempt, lock_id)
        if answer.outcome is LeaseOutcome.REFUSED:
            LEASES_REFUSED.add("redis")
            return await self._refused(effect, answer)
        if state is not None and state.epoch > seat.conversation.epoch:
            state = None  # of a conversation of this id that was erased
        return LeaseGranted(
            effect.attempt,
            lock_id,
            self._resources.trusted_until(answer.sent_at),
            cached_position=state.position if state is not None else None,
            cached_context=(lines_of(state.context) or ()) if state is not None else (),
        )

    async def _refused(self, effect: AcquireLease, answer: LeaseAnswer) -> LeaseRefused:
        """Say who has it: by its address if it is a host of another cluster."""
        resources = self._resources
        holder = answer.owner or ""
        reachable = resources.table().host_with(holder) is not None
        if answer.cluster and answer.cluster != resources.settings.cluster_name:
            address = HostAddress(answer.cluster, holder)
            holder = str(address)
            reachable = resources.clusters is not None and await resources.clusters.reaches(address)
        wait = min(answer.remaining_seconds, LONGEST_REFUSAL_SECONDS)
        retry_at = time.monotonic() + max(wait, 0.05)
        return LeaseRefused(effect.attempt, holder, retry_at, reachable)

    async def _acquire_many(self, requests: list[LeaseRequest]) -> list[_Granted]:
        """Acquire in one round trip; leases of dead owners are taken over in a second one."""
        redis = self._resources.redis
        if redis is None:
            raise RuntimeError("there is no Redis to ask")
        answers = await redis.activate(requests)
        again = {
            index: LeaseRequest(request.conversation_id, request.lock_id, answer.owner)
            for index, (request, (answer, _)) in enumerate(zip(requests, answers, strict=True))
            if answer.outcome is LeaseOutcome.REFUSED and self._is_vacant(answer.owner or "")
        }
        if again:
            taken = await redis.activate(list(again.values()))
            for index, answer in zip(again, taken, strict=True):
                answers[index] = answer
        return answers

    def _is_vacant(self, owner: str) -> bool:
        """Whether a lease of this owner guards nothing: it is dead, or us before we forgot it."""
        return owner == self._resources.owner or self._resources.table().is_dead(owner)

    async def release(self, seat: Seat, effect: ReleaseLease) -> None:
        """Give a lease back; if that fails it lapses by itself."""
        if effect.kind is LeaseKind.DATABASE:
            await self._resources.writer.call(
                OwnerRenewal(
                    conversation_id=seat.conversation_id,
                    epoch=effect.epoch,
                    owner=self._resources.owner,
                    lease_kind=StoredLeaseKind.DATABASE,
                    owner_ttl_seconds=0.0,
                )
            )
        if self._resources.redis is not None and effect.lock_id:
            await self._releases.submit([HeldLease(seat.conversation_id, effect.lock_id)])

    async def _release_many(self, leases: list[HeldLease]) -> list[None]:
        if self._resources.redis is not None:
            await self._resources.redis.locks.release(leases)
        return [None] * len(leases)

    async def claim(self, seat: Seat, effect: Claim) -> Event:
        """Raise the epoch and read what the new owner needs."""
        resources = self._resources
        sent_at = time.monotonic()
        request = ClaimRequest(
            conversation_id=seat.conversation_id,
            epoch=effect.epoch,
            owner=resources.owner,
            cluster=resources.settings.cluster_name,
            lock_id=effect.lock_id,
            lease_kind=StoredLeaseKind(effect.kind.value),
            owner_ttl_seconds=resources.lease_ttl_seconds,
            context_limit=resources.bots.max_context_messages,
            message_limit=self._message_limit,
            cached_position=effect.cached_position,
        )
        trusted_until = resources.trusted_until(sent_at)
        if effect.kind is LeaseKind.DATABASE:
            answer = await self._write_claim(request, lambda: trusted_until)
        else:
            conversation = seat.conversation
            answer = await self._write_claim(request, lambda: conversation.trusted_until)
            trusted_until = conversation.trusted_until
        if not isinstance(answer, StoredClaim):
            return LeaseLost(effect.lock_id)
        return self._claimed(effect, answer, trusted_until)

    async def _write_claim(
        self, request: ClaimRequest, until: Callable[[], float]
    ) -> Result | None:
        """Claim; what a dead owner still holds by the database is claimed a second time."""
        answer = await write(self._resources.writer, request, until)
        if not isinstance(answer, StoredClaim) or answer.outcome is not ClaimOutcome.REFUSED:
            return answer
        if not self._resources.table().is_dead(answer.owner or ""):
            return answer
        request = msgspec.structs.replace(request, take_over_from=answer.owner)
        return await write(self._resources.writer, request, until)

    def _claimed(self, effect: Claim, answer: StoredClaim, trusted_until: float) -> Event:
        now = time.monotonic()
        if answer.outcome is ClaimOutcome.MISSING:
            return ClaimMissing(effect.attempt)
        if answer.outcome is ClaimOutcome.STALE:
            return ClaimStale(effect.attempt, answer.epoch)
        if answer.outcome is ClaimOutcome.REFUSED:
            LEASES_REFUSED.add("database")
            wait = min(answer.retry_in_seconds, LONGEST_REFUSAL_SECONDS)
            return ClaimRefused(effect.attempt, now + max(wait, 0.05))
        return Claimed(
            effect.attempt,
            answer.epoch,
            trusted_until,
            answer.status,
            answer.position,
            answer.last_activity_at,
            lines_of(answer.context),
            tuple(message_of(it, self._policies) for it in answer.messages),
            tuple((delivery_of(it), now + max(0.0, it.retry_in_seconds)) for it in answer.outbox),
            answer.has_more,
            answer.attempts,
            answer.last_seq,
        )

    async def fetch(self, seat: Seat, effect: FetchPending) -> Event | None:
        """Read the messages that wait in the database, once it answers; not without trust."""
        stored = None
        while stored is None:
            try:
                (stored,) = await self._reads.submit([seat.conversation_id])
            except DatabaseUnavailable as error:
                log.warning("fetch_failed", conversation_id=seat.conversation_id, error=str(error))
                if time.monotonic() >= seat.conversation.trusted_until:
                    return None
                await asyncio.sleep(FETCH_PAUSE_SECONDS)
        return PendingFetched(
            effect.attempt,
            tuple(message_of(it, self._policies) for it in stored.messages),
            complete=not stored.has_more,
        )

    async def _read_many(self, conversation_ids: list[str]) -> list[PendingMessages]:
        limits = [self._message_limit] * len(conversation_ids)
        found = await read_pending_messages(self._resources.database, conversation_ids, limits)
        return [found.get(it, PendingMessages()) for it in conversation_ids]
