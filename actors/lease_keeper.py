"""Renews the leases of a host, part by part, in Redis or (without it) in the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from actors.conversation.events import Event, LeaseKind, LeaseLost, LeaseRenewed
from actors.conversation.phase import IN_TURN, OWNED, Phase
from actors.resources import Resources
from actors.seat import Seat
from storage.claim_records import OwnerRenewal
from storage.metrics import LEASES_LOST
from storage.records import FencedOutcome
from storage.records import LeaseKind as StoredLeaseKind
from storage.redis_lease import HeldLease, LeaseOutcome, LeaseRequest, RenewalOutcome

__all__ = ["LeaseKeeper"]

CHECK_SECONDS = 0.2
PART = 500
"""So many leases are renewed together; the host serves its conversations before the next part."""
SPREAD = 0.5
"""The share of the time between two rounds over which the parts of a round are spread."""

log = structlog.get_logger()


class _Held(NamedTuple):
    seat: Seat
    lock_id: str
    kind: LeaseKind


class LeaseKeeper:
    """Renews each third of a lease's time, and at once when Redis comes back or goes.

    A round of many leases takes half of the time until the next, so that it is no burst.
    """

    def __init__(
        self,
        resources: Resources,
        seats: Callable[[], list[Seat]],
        dispatch: Callable[[Seat, Event], None],
    ) -> None:
        self._resources = resources
        self._seats = seats
        self._dispatch = dispatch
        self._had_redis = resources.redis is not None
        self._rows: asyncio.Task[None] | None = None

    @property
    def has_redis(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        redis = self._resources.redis
        return redis is not None and redis.is_connected

    async def run(self) -> None:
        """Renew for ever."""
        due = 0.0
        while True:
            await asyncio.sleep(min(CHECK_SECONDS, self._resources.lease_ttl_seconds / 10))
            changed = self.has_redis is not self._had_redis
            if time.monotonic() < due and not changed:
                continue
            self._had_redis = self.has_redis
            due = time.monotonic() + self._resources.lease_ttl_seconds / 3
            try:
                await self.renew(is_paced=not changed)
            except Exception:  # the next round must not be missed for it
                log.exception("renewal_failed")

    async def renew(self, *, is_paced: bool = False) -> None:
        """Renew every lease once, at once or over a while."""
        seats = self._seats()
        pause = SPREAD * self._resources.lease_ttl_seconds / 3 * PART / max(1, len(seats))
        unguarded: list[_Held] = []
        guarded: list[_Held] = []
        for start in range(0, len(seats), PART):
            if start and is_paced and self.has_redis is self._had_redis:
                await asyncio.sleep(pause)
            part = _held(seats[start : start + PART])
            rest, back = await self._renew_in_redis(part)
            unguarded += rest
            guarded += back
            # Where Redis is the guard, the row still says who works on it, for those without Redis.
            kept_away = {id(it) for it in rest}
            guarded += [
                it
                for it in part
                if it.kind is LeaseKind.REDIS and id(it) not in kept_away
                if it.seat.conversation.phase in IN_TURN
            ]
        if self._rows is None or self._rows.done():
            self._rows = asyncio.create_task(self._renew_rows(unguarded, guarded))

    async def _renew_rows(self, rest: list[_Held], guarded: list[_Held]) -> None:
        """Renew in the database: not waited for, since the leases in Redis must not wait for it."""
        await self._renew_in_database(rest, StoredLeaseKind.DATABASE)
        await self._renew_in_database(guarded, StoredLeaseKind.REDIS)

    async def _renew_in_redis(self, held: list[_Held]) -> tuple[list[_Held], list[_Held]]:
        """Return those whose lease Redis does not guard, and those whose lease it guards again."""
        redis = self._resources.redis
        if redis is None or not self.has_redis:
            return [it for it in held if it.seat.conversation.phase in OWNED], []
        in_redis = [it for it in held if it.kind is LeaseKind.REDIS]
        sent_at = time.monotonic()
        outcomes = await redis.locks.renew(
            [HeldLease(it.seat.conversation_id, it.lock_id) for it in in_redis]
        )
        trusted_until = self._resources.trusted_until(sent_at)
        rest, missing = [], [it for it in held if it.kind is LeaseKind.DATABASE]
        for it, outcome in zip(in_redis, outcomes, strict=True):
            if outcome is RenewalOutcome.RENEWED:
                self._tell(it, LeaseRenewed(it.lock_id, LeaseKind.REDIS, trusted_until))
            elif outcome is RenewalOutcome.LOST:
                missing.append(it)
            else:
                rest.append(it)
        not_taken, back = await self._take_again(missing)
        return rest + not_taken, back

    async def _take_again(self, missing: list[_Held]) -> tuple[list[_Held], list[_Held]]:
        """Take leases that Redis does not have (any more), each under the lock id it had."""
        redis = self._resources.redis
        if redis is None or not missing:
            return [], []
        answers = await redis.locks.acquire(
            [LeaseRequest(it.seat.conversation_id, it.lock_id) for it in missing]
        )
        rest, back = [], []
        for it, answer in zip(missing, answers, strict=True):
            if answer.outcome is LeaseOutcome.GRANTED:
                self._renewed(it, LeaseKind.REDIS, answer.sent_at)
                if it.kind is LeaseKind.DATABASE:
                    back.append(it)
            elif answer.outcome is LeaseOutcome.REFUSED:
                LEASES_LOST.add("redis")
                self._tell(it, LeaseLost(it.lock_id))
            else:
                rest.append(it)
        return rest, back

    async def _renew_in_database(self, held: list[_Held], kind: StoredLeaseKind) -> None:
        sent_at = time.monotonic()
        owned = [it for it in held if it.seat.conversation.phase in OWNED]
        results = await asyncio.gather(
            *(
                self._resources.writer.call(
                    OwnerRenewal(
                        conversation_id=it.seat.conversation_id,
                        epoch=it.seat.conversation.epoch,
                        owner=self._resources.owner,
                        lease_kind=kind,
                        owner_ttl_seconds=self._resources.lease_ttl_seconds,
                    )
                )
                for it in owned
            )
        )
        for it, result in zip(owned, results, strict=True):
            if result is FencedOutcome.FENCED:
                LEASES_LOST.add("database")
                self._tell(it, LeaseLost(it.lock_id))
            elif result is FencedOutcome.DONE and kind is StoredLeaseKind.DATABASE:
                self._renewed(it, LeaseKind.DATABASE, sent_at)

    def _renewed(self, it: _Held, kind: LeaseKind, sent_at: float) -> None:
        self._tell(it, LeaseRenewed(it.lock_id, kind, self._resources.trusted_until(sent_at)))

    def _tell(self, it: _Held, event: Event) -> None:
        conversation = it.seat.conversation
        can_hear = conversation.phase in OWNED or conversation.phase is Phase.CLAIMING
        if can_hear and conversation.lock_id == it.lock_id:
            self._dispatch(it.seat, event)


def _held(seats: list[Seat]) -> list[_Held]:
    """Return what is held of some conversations now."""
    return [
        _Held(seat, seat.conversation.lock_id, seat.conversation.lease_kind)
        for seat in seats
        if seat.conversation.phase in OWNED or seat.conversation.phase is Phase.CLAIMING
    ]
