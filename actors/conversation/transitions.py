"""Every transition of a conversation, in one table.

Read it by rows: in this phase, this event is handled by that function. An event that is not in a
row cannot happen in that phase; one that answers something given up meanwhile never gets here
(``staleness.py``). After each event an owner goes on with whatever waits (``progress.py``).

Beside the phases the outbox has a state of its own: committed answers are delivered in order
while further turns go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.conversation import commits, delivery, intake, ownership, settling, turns
from actors.conversation import events as e
from actors.conversation.phase import Phase

Handler = Callable[[Any, Any, float], None]


def ignore(conversation: object, event: object, now: float) -> None:
    """Nothing follows from this event in this phase."""


_OWNED: dict[type[e.Event], Handler] = {
    e.MessageReceived: intake.on_message,
    e.Poked: intake.on_poked,
    e.PendingFetched: intake.on_fetched,
    e.MessageSettled: settling.on_settled,
    e.JobCancelled: intake.on_job_cancelled,
    e.DeliveryCounted: delivery.on_counted,
    e.DeliveryEnded: delivery.on_ended,
    e.DeliveryRecorded: delivery.on_recorded,
    e.LeaseRenewed: ownership.on_renewed,
    e.LeaseLost: ownership.on_lost,
    e.ConversationReset: ownership.reset,
    e.Reopened: ownership.reopen,
    e.Released: ownership.drain,
    e.Tick: intake.on_tick,
}
"""What an owner does in any phase."""

_WAITING: dict[type[e.Event], Handler] = {
    e.MessageReceived: ownership.note,
    e.Poked: ownership.note,
    e.JobCancelled: ignore,
    e.Tick: ignore,
}
"""What is done in any phase on the way to ownership."""

TRANSITIONS: Mapping[Phase, Mapping[type[e.Event], Handler]] = {
    Phase.PASSIVE: {
        e.MessageReceived: ownership.activate,
        e.Poked: ownership.activate,
        e.ConversationReset: ownership.reset,
        e.Reopened: ownership.reset,
        e.JobCancelled: ignore,
        e.Released: ownership.leave,
        e.Tick: ignore,
    },
    Phase.ACQUIRING: _WAITING
    | {
        e.LeaseGranted: ownership.on_lease_granted,
        e.LeaseRefused: ownership.on_lease_refused,
        e.LeaseUnknown: ownership.on_lease_unknown,
        e.ConversationReset: ignore,
        e.Reopened: ignore,
        e.Released: ownership.drain,
    },
    Phase.CLAIMING: _WAITING
    | {
        e.Claimed: ownership.on_claimed,
        e.ClaimStale: ownership.on_claim_stale,
        e.ClaimRefused: ownership.on_claim_refused,
        e.ClaimMissing: ownership.on_claim_missing,
        e.LeaseRenewed: ownership.on_renewed,
        e.LeaseLost: ownership.on_lost_while_claiming,
        e.ConversationReset: ownership.mark_reset,
        e.Reopened: ownership.mark_reset,
        e.Released: ownership.drain,
    },
    Phase.BLOCKED: _WAITING
    | {
        e.Tick: ownership.wake,
        e.ConversationReset: ownership.reset,
        e.Reopened: ownership.want,
        e.Released: ownership.leave,
    },
    Phase.FENCED: _WAITING
    | {
        e.Tick: ownership.wake,
        e.ConversationReset: ownership.reset,
        e.Reopened: ownership.want,
        e.Released: ownership.leave,
    },
    Phase.IDLE: _OWNED,
    Phase.DEBOUNCING: _OWNED,
    Phase.STARTING: _OWNED
    | {
        e.TurnStarted: turns.on_started,
    },
    Phase.CALLING: _OWNED
    | {
        e.TurnStarted: turns.on_started,
        e.AiAnswered: turns.on_answered,
        e.AiFailed: turns.on_ai_failed,
    },
    Phase.COMMITTING: _OWNED
    | {
        e.TurnStarted: turns.on_started,
        e.TurnCommitted: commits.on_committed,
    },
}
