"""A conversation as a value: ``receive(event, now)`` changes it and returns the effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.conversation.context import Context
from actors.conversation.effects import Effect, Passivate
from actors.conversation.events import Event, LeaseKind, LeaseLost, LeaseRenewed
from actors.conversation.limits import Limits
from actors.conversation.mailbox import Mailbox
from actors.conversation.message import Line, Message
from actors.conversation.outbox import Outbox, OutboxState
from actors.conversation.phase import OWNED, Phase
from actors.conversation.progress import advance
from actors.conversation.staleness import is_stale
from actors.conversation.tenure import lose
from actors.conversation.transitions import TRANSITIONS
from actors.conversation.turn import Turn


class IllegalTransition(Exception):
    """The event cannot happen in this phase. Nothing was changed."""


class Conversation:
    """One conversation in the memory of its owner, or of a host that asks to own it.

    ``now`` is seconds on a clock that does not jump. What other modules of this package do to the
    fields is their business alone; from outside only the methods are used.
    """

    __slots__ = (
        "attempt",
        "calls",
        "context",
        "conversation_id",
        "effects",
        "epoch",
        "fetch_attempt",
        "fetching",
        "finished",
        "first_arrival",
        "guarded_until",
        "idle_since",
        "is_draining",
        "is_outdated",
        "is_reset",
        "is_wanted",
        "last_activity_at",
        "last_arrival",
        "latest_seq",
        "lease_kind",
        "limits",
        "lock_id",
        "mailbox",
        "not_before",
        "outbox",
        "phase",
        "position",
        "queued_during_turn",
        "races",
        "refused_since",
        "settling",
        "status",
        "trusted_until",
        "turn",
        "turn_attempts",
        "unconfirmed",
        "unseen",
        "untold",
        "wake_at",
    )

    def __init__(self, conversation_id: str, limits: Limits) -> None:
        self.conversation_id = conversation_id
        self.limits = limits
        self.phase = Phase.PASSIVE
        self.attempt = 0
        self.races = 0
        self.refused_since: float | None = None
        self.epoch = 0
        self.lock_id = ""
        self.lease_kind = LeaseKind.REDIS
        self.trusted_until = 0.0
        self.guarded_until = 0.0
        self.wake_at = 0.0
        self.idle_since = 0.0
        self.is_draining = False
        self.is_reset = False
        self.fetch_attempt = 0
        self.calls: dict[str, int] = {}
        self.effects: list[Effect] = []
        self.forget()

    def forget(self) -> None:
        """Drop all that the database holds too (the phase and the epoch stay)."""
        self.position = 0
        self.status = "active"
        self.last_activity_at = 0.0
        self.latest_seq = 0
        self.context = Context()
        self.mailbox = Mailbox(self.limits)
        self.outbox = Outbox()
        self.turn: Turn | None = None
        self.settling: dict[str, tuple[Message, str, str | None]] = {}
        self.unconfirmed: dict[str, tuple[Message | None, int]] = {}
        self.fetching: tuple[str, ...] | None = None
        self.unseen: tuple[str, ...] = ()
        self.finished: dict[str, str] = {}
        self.untold: list[Message] = []
        self.first_arrival = 0.0
        self.last_arrival = 0.0
        self.queued_during_turn = False
        self.is_wanted = False
        self.is_outdated = False
        self.turn_attempts = 0
        self.not_before = 0.0

    def receive(self, event: Event, now: float) -> tuple[Effect, ...]:
        """Take in an event and return what is to be done, in order.

        An event that answers something given up meanwhile has no effect. An owner whose trust in
        its lease has run out stops before anything else.
        Raises ``IllegalTransition`` for an event that this phase does not know.
        """
        if is_stale(self, event):
            return ()
        handle = self._handler(event)
        self.effects = []
        if isinstance(event, LeaseRenewed | LeaseLost) or not self._stop_without_trust(now):
            handle(self, event, now)
        elif not is_stale(self, event):
            self._handler(event)(self, event, now)
        if self.phase in OWNED and not self._stop_without_trust(now):
            advance(self, now)
        if self.phase is Phase.PASSIVE:
            self.emit(Passivate())
        return tuple(self.effects)

    def extend(self, event: LeaseRenewed, now: float) -> bool:
        """Take in a renewal from which nothing follows; else change nothing and answer False.

        It is what happens most to a conversation in which nothing happens. Whatever it waits for
        has its own event, or its ``deadline``, which a renewal only moves away.
        """
        if (
            self.phase is not Phase.IDLE
            or event.lock_id != self.lock_id
            or event.kind is not self.lease_kind
            or now >= self.trusted_until
        ):
            return False
        self.trusted_until = max(self.trusted_until, event.trusted_until)
        return True

    def _stop_without_trust(self, now: float) -> bool:
        """Stop, if this is an owner whose trust in its lease has run out; whether it was so."""
        is_over = self.phase in OWNED and now >= self.trusted_until
        if is_over:
            lose(self, now)
        return is_over

    def deadline(self) -> float | None:
        """The moment at which a ``Tick`` is due, if any."""
        if self.phase in (Phase.BLOCKED, Phase.FENCED):
            return self.wake_at
        if self.phase not in OWNED:
            return None
        moments = [self.trusted_until]
        if self.phase is Phase.DEBOUNCING and self.fetching is None:
            moments.append(self.wake_at)
        if self.phase is Phase.IDLE and self.is_quiet:
            moments.append(self.idle_since + self.limits.idle_seconds)
        if self.phase is Phase.IDLE and self.mailbox and self.not_before:
            moments.append(self.not_before)
        if self.outbox.state is OutboxState.WAITING and self.outbox.retry_at is not None:
            moments.append(self.outbox.retry_at)
        return min(moments)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way (a delivery that waits for its retry does not count)."""
        return not (self.is_working or self.outbox.is_moving)

    @property
    def is_working(self) -> bool:
        """Whether there is anything to do but to deliver."""
        return bool(
            self.turn
            or self.mailbox
            or self.mailbox.has_more
            or self.settling
            or self.unconfirmed
            or self.fetching is not None
        )

    @property
    def is_stopped(self) -> bool:
        """Whether no turn starts before an answer was delivered."""
        return self.turn is None and len(self.outbox) >= self.limits.undelivered_jobs

    @property
    def characters(self) -> int:
        """How much text it keeps in memory."""
        characters = self.mailbox.weight + self.outbox.characters + self.context.characters
        for message in self.turn.messages if self.turn is not None else ():
            characters += message.weight
        return characters

    def emit(self, effect: Effect) -> None:
        """Add an effect to what the present event brings about."""
        self.effects.append(effect)

    def knows(self, message_id: str) -> bool:
        """Whether this activation has the message, or has finished it."""
        return (
            message_id in self.finished
            or message_id in self.settling
            or (self.turn is not None and self.turn.holds(message_id))
            or self.mailbox.find(message_id) is not None
        )

    def undecided(self) -> list[str]:
        """Ids of the messages about which something is still to be told."""
        messages = [entry[0] for entry in self.settling.values()]
        if self.turn is not None:
            messages += self.turn.messages
        messages += self.mailbox
        ids = [*(self.fetching or ()), *self.unseen, *(message.message_id for message in messages)]
        for delivery in self.outbox:
            if not delivery.is_answered:
                ids += delivery.message_ids
        return ids

    def next_call(self, job_id: str) -> int:
        """Number the next AI call of a job; none is used twice, whatever was lost meanwhile."""
        call = self.calls.pop(job_id, 0) + 1
        self.calls[job_id] = call
        if len(self.calls) > self.limits.remembered_calls:
            del self.calls[next(iter(self.calls))]
        return call

    def remember_finished(self, key: str, job_id: str = "") -> None:
        """Note that a message (or a job) was decided here, forgetting the oldest past the limit.

        ``job_id`` is the job that a message had.
        """
        self.finished[key] = job_id
        if len(self.finished) > self.limits.remembered_messages:
            del self.finished[next(iter(self.finished))]

    @property
    def context_position(self) -> int:
        """How far the context in memory goes: not up to lines that wait for their commit."""
        if self.turn is None or self.turn.first_position is None:
            return self.position
        return self.turn.first_position - 1

    def say(self, *lines: Line, before: int = 0) -> None:
        """Add lines to the context, ahead of its last ``before``, keeping it within the limit."""
        self.context.say(lines, before=before, most=self.limits.context_messages)

    def _handler(self, event: Event) -> Callable[[Conversation, Any, float], None]:
        handler = TRANSITIONS[self.phase].get(type(event))
        if handler is None:
            raise IllegalTransition(f"{type(event).__name__} in phase {self.phase.value}")
        return handler
