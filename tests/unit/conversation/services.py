"""What is outside of the hosts: a lease store, the database, an AI and a platform."""

from __future__ import annotations

import itertools
from typing import Any

from actors.conversation import Limits
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.outbox import Delivery
from tests.unit.conversation.checks import Seat
from tests.unit.conversation.database import Database

TTL = 30.0
MARGIN = 2.0


class Services:
    """Does what one effect asks for and returns the event that answers it, if any does."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.now = 0.0
        self.database = Database()
        self.has_redis = True
        self.lease: tuple[str, str, float] | None = None
        """Owner, lock id, and when it lapses."""
        self.sent: list[str] = []
        """Jobs that the platform got, in order."""
        self.numbers = itertools.count(1)

    def do(self, seat: Seat, effect: Any, choice: str, *, holder_is_alive: bool) -> e.Event | None:
        """``choice`` says how it goes, for what can go in several ways."""
        match effect:
            case fx.AcquireLease():
                return self._acquire(seat, effect, choice, holder_is_alive)
            case fx.Claim():
                return self._claim(seat, effect)
            case fx.CallAi():
                return self._ask(effect, choice)
            case fx.Deliver():
                return self._deliver(effect, choice)
            case fx.ReleaseLease():
                self._release(seat, effect)
                return None
            case _:
                return self._write(effect)

    def _write(self, effect: Any) -> e.Event:
        database = self.database
        match effect:
            case fx.FetchPending():
                limit = self.limits.waiting_messages
                found = database.pending
                return e.PendingFetched(effect.attempt, tuple(found[:limit]), len(found) <= limit)
            case fx.StartTurn():
                return e.TurnStarted(effect.job_id, effect.call, database.start_turn(effect))
            case fx.CommitTurn():
                return self._commit(effect)
            case fx.SettleMessage():
                fate = database.settle(effect)
                return e.MessageSettled(effect.epoch, effect.message.message_id, fate)
            case fx.CountDelivery():
                return e.DeliveryCounted(effect.epoch, effect.job_id, database.count(effect))
            case fx.RecordDelivery():
                return self._record(effect)
            case _:
                raise AssertionError(effect)

    def _release(self, seat: Seat, effect: fx.ReleaseLease) -> None:
        if self.lease is not None and self.lease[1] == effect.lock_id:
            self.lease = None
        if effect.kind is e.LeaseKind.DATABASE and self.database.owner == seat.host:
            self.database.renew(effect.epoch, "", effect.kind, 0.0)

    def _acquire(self, seat: Seat, effect: fx.AcquireLease, choice: str, is_alive: bool) -> e.Event:
        lock_id = f"lock-{next(self.numbers)}"
        if not self.has_redis or choice == "unknown":
            return e.LeaseUnknown(effect.attempt, lock_id)
        if self.lease is not None and self.lease[2] > self.now:
            owner = self.lease[0]
            if owner != seat.host:
                reachable = is_alive and choice != "unreachable"
                return e.LeaseRefused(effect.attempt, owner, self.now + 1.0, reachable)
        self.lease = (seat.host, lock_id, self.now + TTL)
        return e.LeaseGranted(effect.attempt, lock_id, self.now + TTL - MARGIN)

    def _claim(self, seat: Seat, effect: fx.Claim) -> e.Event:
        database, attempt = self.database, effect.attempt
        outcome = database.claim(effect, seat.host, self.now, TTL)
        if outcome == "stale":
            return e.ClaimStale(attempt, database.epoch)
        if outcome == "refused":
            return e.ClaimRefused(attempt, self.now + 1.0)
        trusted = seat.conversation.trusted_until
        if effect.kind is e.LeaseKind.DATABASE:
            trusted = self.now + TTL - MARGIN
        found, limit = database.pending, self.limits.waiting_messages
        return e.Claimed(
            attempt,
            database.epoch,
            trusted,
            database.status,
            database.position,
            database.last_activity_at,
            tuple(line for line in database.context if line.content)[-20:],
            tuple(found[:limit]),
            database.deliveries(self.now),
            len(found) > limit,
            database.attempts,
            database.last_seq,
        )

    def _ask(self, effect: fx.CallAi, choice: str) -> e.Event:
        if choice == "fail":
            return e.AiFailed(effect.job_id, effect.call, "ai_error")
        payload = None if choice == "silent" else "actions"
        answer = e.Answer("answer", payload, choice == "transfer", choice == "end")
        return e.AiAnswered(effect.job_id, effect.call, answer)

    def _commit(self, effect: fx.CommitTurn) -> e.Event:
        is_delivered = effect.reply is not None and effect.status != "cancelled"
        if effect.answer is not None:
            is_delivered = effect.answer.payload is not None
        body = f"body of {effect.job_id}" if is_delivered else None
        fate = self.database.commit_turn(effect, body)
        delivery = None
        if body is not None:
            ids = tuple(message.message_id for message in effect.messages)
            delivery = Delivery(effect.job_id, effect.messages[0].policy.bot_id, body, ids)
        return e.TurnCommitted(effect.job_id, effect.call, fate, delivery, "result")

    def _deliver(self, effect: fx.Deliver, choice: str) -> e.Event:
        result = {"fail": "retry", "dead": "dead"}.get(choice, "sent")
        if result == "sent":
            self.sent.append(effect.job_id)
        return e.DeliveryEnded(effect.epoch, effect.job_id, result, 1, self.now + 5.0)

    def _record(self, effect: fx.RecordDelivery) -> e.Event:
        fate = self.database.record(effect)
        return e.DeliveryRecorded(
            effect.epoch, effect.job_id, effect.result, fate, 1, effect.retry_at
        )
