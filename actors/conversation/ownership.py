"""Who may work on the conversation: the lease, the claim, and an operator's reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery, intake, isolation
from actors.conversation.context import Context
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
    Reopened,
    Tick,
)
from actors.conversation.phase import Phase
from actors.conversation.tenure import acquire, block, drop, hold, lose, passivate, release, rest

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def activate(conversation: Conversation, event: MessageReceived | Poked, now: float) -> None:
    """Begin to own the conversation, because there is work."""
    note(conversation, event, now)
    acquire(conversation)


def note(conversation: Conversation, event: MessageReceived | Poked, now: float) -> None:
    """Keep what came until the claim shows what is pending."""
    conversation.epoch = max(conversation.epoch, event.epoch)
    conversation.is_wanted = True
    if isinstance(event, MessageReceived):
        intake.hold_message(conversation, event.message, event.epoch)
    elif event.message_id is not None:
        hold(conversation, event.message_id, event.epoch)


def on_lease_granted(conversation: Conversation, event: LeaseGranted, now: float) -> None:
    """The lease is ours: raise the epoch."""
    conversation.lock_id = event.lock_id
    conversation.trusted_until = event.trusted_until
    conversation.context = Context(event.cached_context)
    _claim(conversation, LeaseKind.REDIS, event.cached_position)


def on_lease_unknown(conversation: Conversation, event: LeaseUnknown, now: float) -> None:
    """Redis did not answer: the claim itself has to keep owners apart."""
    conversation.lock_id = event.lock_id
    _claim(conversation, LeaseKind.DATABASE, None)


def _claim(conversation: Conversation, kind: LeaseKind, cached_position: int | None) -> None:
    conversation.phase = Phase.CLAIMING
    conversation.lease_kind = kind
    conversation.emit(
        Claim(conversation.attempt, conversation.epoch, conversation.lock_id, kind, cached_position)
    )


def on_lease_refused(conversation: Conversation, event: LeaseRefused, now: float) -> None:
    """Somebody else has it: hand the messages over if it can be reached, else try again later."""
    if event.reachable:
        conversation.emit(HandOver(event.owner, tuple(conversation.unconfirmed)))
        conversation.unconfirmed, conversation.is_wanted = {}, False
        rest(conversation)
    else:
        _wait_or_leave(conversation, event.retry_at, now)


def _wait_or_leave(conversation: Conversation, retry_at: float, now: float) -> None:
    """Ask again for one lease time. A holder that has it after that is alive: it is left to it.

    What waits is found by the holder's sweeper; callers are to look for themselves.
    """
    if conversation.refused_since is None:
        conversation.refused_since = now
    waited_seconds = now - conversation.refused_since
    if waited_seconds <= conversation.limits.lease_ttl_seconds or conversation.is_draining:
        block(conversation, retry_at)
    else:
        _leave_callers(conversation)
        rest(conversation)


def _leave_callers(conversation: Conversation) -> None:
    for message_id in conversation.unconfirmed:
        conversation.emit(Tell(message_id, Word.GONE))
    conversation.unconfirmed, conversation.is_wanted = {}, False


def on_claimed(conversation: Conversation, event: Claimed, now: float) -> None:
    """It is ours. Take in what the database holds and begin to work."""
    conversation.phase = Phase.IDLE
    conversation.epoch = event.epoch
    conversation.trusted_until = conversation.guarded_until = event.trusted_until
    conversation.is_wanted = False
    if conversation.is_reset:
        reset(conversation, ConversationReset(), now)
        return
    if now >= conversation.trusted_until:
        drop(conversation)
        block(conversation, now + conversation.limits.retry_seconds)
        return
    conversation.races = 0
    conversation.refused_since = None
    conversation.idle_since = now
    conversation.status = event.status
    conversation.position = event.position
    conversation.last_activity_at = event.last_activity_at
    isolation.count(conversation, event.attempts, now)
    if event.context is not None:
        conversation.context = Context(event.context)
    delivery.restore(conversation, event.deliveries, now)
    intake.take_claimed(conversation, event, now)


def on_claim_stale(conversation: Conversation, event: ClaimStale, now: float) -> None:
    """The epoch was raised by somebody else: let the lease go and start over from what holds."""
    release(conversation)
    conversation.epoch = event.epoch
    conversation.races += 1
    if conversation.races > conversation.limits.claim_attempts:
        conversation.races = 0
        block(conversation, now + conversation.limits.retry_seconds)
    else:
        acquire(conversation)


def on_claim_refused(conversation: Conversation, event: ClaimRefused, now: float) -> None:
    """By the database somebody else has it for a while."""
    release(conversation)
    _wait_or_leave(conversation, event.retry_at, now)


def on_claim_missing(conversation: Conversation, event: ClaimMissing, now: float) -> None:
    """It was erased: there is nothing to do, and callers are to look for themselves."""
    _leave_callers(conversation)
    passivate(conversation)


def on_renewed(conversation: Conversation, event: LeaseRenewed, now: float) -> None:
    """The lease holds for longer."""
    conversation.lease_kind = event.kind
    conversation.trusted_until = max(conversation.trusted_until, event.trusted_until)


def on_lost(conversation: Conversation, event: LeaseLost, now: float) -> None:
    """The lease is not ours any more."""
    lose(conversation, now)


def on_lost_while_claiming(conversation: Conversation, event: LeaseLost, now: float) -> None:
    """The lease went before the claim was answered: start over later, with what came."""
    conversation.lock_id = ""
    block(conversation, now + conversation.limits.retry_seconds)


def reset(conversation: Conversation, event: ConversationReset | Reopened, now: float) -> None:
    """An operator raised the epoch: what was being done is void, what waits is done afresh."""
    if conversation.lock_id:
        drop(conversation)
    conversation.is_wanted = True
    acquire(conversation)


def mark_reset(conversation: Conversation, event: ConversationReset | Reopened, now: float) -> None:
    """The claim under way may have been overtaken by this: start over when it answers."""
    conversation.is_reset = True


def reopen(conversation: Conversation, event: Reopened, now: float) -> None:
    """What is held is not all that is pending: read it afresh once this turn is over."""
    conversation.is_outdated = True


def want(conversation: Conversation, event: Reopened, now: float) -> None:
    """There is work, to be seen when it is time to ask again."""
    conversation.is_wanted = True


def drain(conversation: Conversation, event: Released, now: float) -> None:
    """Give it up as soon as nothing is under way; start no further turn.

    What waits then is handed to the next owner.
    """
    conversation.is_draining = True
    if conversation.phase is Phase.DEBOUNCING:
        conversation.phase = Phase.IDLE


def leave(conversation: Conversation, event: Released, now: float) -> None:
    """Nothing is held: forget it."""
    conversation.is_draining = True
    rest(conversation)


def wake(conversation: Conversation, event: Tick, now: float) -> None:
    """Try again, if there is anything to try it for."""
    if now < conversation.wake_at:
        return
    if conversation.is_wanted:
        acquire(conversation)
    else:
        rest(conversation)
