"""Who may work on the conversation: the lease, the claim, and an operator's reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery, intake
from actors.conversation.effects import Claim, HandOver, Tell, Word
from actors.conversation.events import (
    Claimed,
    ClaimMissing,
    ClaimRefused,
    ClaimStale,
    ConversationReset,
    LeaseGranted,
    LeaseKind,
    LeaseLost,
    LeaseRefused,
    LeaseRenewed,
    LeaseUnknown,
    MessageReceived,
    Poked,
    Released,
    Tick,
)
from actors.conversation.phase import Phase
from actors.conversation.tenure import acquire, block, drop, hold, lose, passivate, release, rest

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def activate(c: Conversation, event: MessageReceived | Poked, now: float) -> None:
    """Begin to own the conversation, because there is work."""
    note(c, event, now)
    acquire(c)


def note(c: Conversation, event: MessageReceived | Poked, now: float) -> None:
    """Keep what came until the claim shows what is pending."""
    c.epoch = max(c.epoch, event.epoch)
    c.is_wanted = True
    if isinstance(event, MessageReceived):
        intake.hold_message(c, event.message, event.epoch)
    elif event.message_id is not None:
        hold(c, event.message_id, event.epoch)


def on_lease_granted(c: Conversation, event: LeaseGranted, now: float) -> None:
    """The lease is ours: raise the epoch."""
    c.lock_id = event.lock_id
    c.trusted_until = event.trusted_until
    c.context = list(event.cached_context)
    _claim(c, LeaseKind.REDIS, event.cached_position)


def on_lease_unknown(c: Conversation, event: LeaseUnknown, now: float) -> None:
    """Redis did not answer: the claim itself has to keep owners apart."""
    c.lock_id = event.lock_id
    _claim(c, LeaseKind.DATABASE, None)


def _claim(c: Conversation, kind: LeaseKind, cached_position: int | None) -> None:
    c.phase = Phase.CLAIMING
    c.lease_kind = kind
    c.emit(Claim(c.attempt, c.epoch, c.lock_id, kind, cached_position))


def on_lease_refused(c: Conversation, event: LeaseRefused, now: float) -> None:
    """Somebody else has it: hand the messages over if it can be reached, else try again later."""
    if event.reachable:
        c.emit(HandOver(event.owner, tuple(c.unconfirmed)))
        rest(c)
    else:
        block(c, event.retry_at)


def on_claimed(c: Conversation, event: Claimed, now: float) -> None:
    """It is ours. Take in what the database holds and begin to work."""
    c.phase = Phase.IDLE
    c.epoch = event.epoch
    c.trusted_until = event.trusted_until
    c.is_wanted = False
    if c.is_reset:
        reset(c, ConversationReset(), now)
        return
    if now >= c.trusted_until:
        drop(c)
        block(c, now + c.limits.retry_seconds)
        return
    c.races = 0
    c.idle_since = now
    c.status = event.status
    c.position = event.position
    c.last_activity_at = event.last_activity_at
    if event.context is not None:
        c.context = list(event.context)
    delivery.restore(c, event.deliveries, now)
    intake.take_claimed(c, event, now)


def on_claim_stale(c: Conversation, event: ClaimStale, now: float) -> None:
    """The epoch was raised by somebody else: let the lease go and start over from what holds."""
    release(c)
    c.epoch = event.epoch
    c.races += 1
    if c.races > c.limits.claim_attempts:
        c.races = 0
        block(c, now + c.limits.retry_seconds)
    else:
        acquire(c)


def on_claim_refused(c: Conversation, event: ClaimRefused, now: float) -> None:
    """By the database somebody else has it for a while."""
    release(c)
    block(c, event.retry_at)


def on_claim_missing(c: Conversation, event: ClaimMissing, now: float) -> None:
    """It was erased: there is nothing to do, and callers are to look for themselves."""
    for message_id in c.unconfirmed:
        c.emit(Tell(message_id, Word.GONE))
    passivate(c)


def on_renewed(c: Conversation, event: LeaseRenewed, now: float) -> None:
    """The lease holds for longer."""
    c.lease_kind = event.kind
    c.trusted_until = max(c.trusted_until, event.trusted_until)


def on_lost(c: Conversation, event: LeaseLost, now: float) -> None:
    """The lease is not ours any more."""
    lose(c, now)


def on_lost_while_claiming(c: Conversation, event: LeaseLost, now: float) -> None:
    """The lease went before the claim was answered: start over later, with what came."""
    c.lock_id = ""
    block(c, now + c.limits.retry_seconds)


def reset(c: Conversation, event: ConversationReset, now: float) -> None:
    """An operator raised the epoch: what was being done is void, what waits is done afresh."""
    if c.lock_id:
        drop(c)
    c.is_wanted = True
    acquire(c)


def mark_reset(c: Conversation, event: ConversationReset, now: float) -> None:
    """The claim under way may have been overtaken by the reset: start over when it answers."""
    c.is_reset = True


def drain(c: Conversation, event: Released, now: float) -> None:
    """Give it up as soon as nothing is under way; start no further turn."""
    c.is_draining = True
    if c.phase is Phase.DEBOUNCING:
        c.phase = Phase.IDLE


def leave(c: Conversation, event: Released, now: float) -> None:
    """Nothing is held: forget it."""
    rest(c)


def wake(c: Conversation, event: Tick, now: float) -> None:
    """Try again, if there is anything to try it for."""
    if now < c.wake_at:
        return
    if c.is_wanted:
        acquire(c)
    else:
        rest(c)
