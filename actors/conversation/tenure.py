"""Holding a conversation, and letting it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.effects import AbandonAi, AcquireLease, HandOver, ReleaseLease
from actors.conversation.phase import Phase

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation
    from actors.conversation.turn import Turn


def acquire(conversation: Conversation) -> None:
    """Ask for the lease. A reset seen before this is one that the claim will see too."""
    conversation.is_reset = False
    conversation.phase = Phase.ACQUIRING
    conversation.attempt += 1
    conversation.emit(AcquireLease(conversation.attempt))


def release(conversation: Conversation) -> None:
    """Give the lease back."""
    conversation.emit(
        ReleaseLease(conversation.lock_id, conversation.epoch, conversation.lease_kind)
    )
    conversation.lock_id = ""


def block(conversation: Conversation, until: float) -> None:
    """Try again later, unless it is being given up. What was asked for is void."""
    conversation.attempt += 1
    conversation.is_wanted = True
    if conversation.is_draining:
        rest(conversation)
        return
    conversation.phase = Phase.BLOCKED
    conversation.wake_at = until


def rest(conversation: Conversation) -> None:
    """Forget the conversation: nothing of it is only in memory.

    Its host is told to forget it too, unless the same event wakes it up again. Where it is given
    up with work to do, its next host is told of that.
    """
    if conversation.is_draining:
        _hand_on(conversation)
    conversation.forget()
    conversation.refused_since = None
    conversation.attempt += 1
    conversation.phase = Phase.PASSIVE


def _hand_on(conversation: Conversation) -> None:
    waiting = tuple(dict.fromkeys((*conversation.unconfirmed, *conversation.undecided())))
    if waiting or conversation.is_wanted or conversation.mailbox.has_more:
        conversation.emit(HandOver(None, waiting))


def passivate(conversation: Conversation) -> None:
    """Give the lease back and forget the conversation."""
    release(conversation)
    rest(conversation)


def lose(conversation: Conversation, now: float) -> None:
    """Stop: another owner may be at work. What was pending is pending in the database."""
    if drop(conversation):
        block(conversation, now + conversation.limits.retry_seconds)
    else:
        rest(conversation)


def fence(conversation: Conversation, now: float) -> None:
    """Another owner has claimed it: drop it and leave it alone for one lease time."""
    wanted = drop(conversation)
    conversation.is_wanted = wanted
    if conversation.is_draining:
        rest(conversation)
        return
    conversation.phase = Phase.FENCED
    conversation.wake_at = now + conversation.limits.lease_ttl_seconds


def start_over(conversation: Conversation, epoch: int) -> None:
    """The epoch is known to have been raised since our claim: begin afresh from the one that holds.

    What is held is void, and a new claim shows what is pending.
    """
    drop(conversation)
    conversation.epoch = epoch
    conversation.is_wanted = True
    acquire(conversation)


def refresh(conversation: Conversation) -> None:
    """Let go and take it again at once, to read what the database holds now."""
    drop(conversation)
    conversation.is_wanted = True
    acquire(conversation)


def drop(conversation: Conversation) -> bool:
    """Let go of everything; answer whether there was work in it.

    The ids of messages whose callers still wait are kept: after the next claim they are looked up,
    or they are handed to the next owner.
    """
    busy = not conversation.is_quiet or len(conversation.outbox) > 0
    if conversation.turn is not None:
        abandon(conversation, conversation.turn)
    release(conversation)
    held, undecided = conversation.unconfirmed, conversation.undecided()
    conversation.forget()
    conversation.unconfirmed = held
    for message_id in undecided:
        hold(conversation, message_id, conversation.epoch)
    return busy


def hold(conversation: Conversation, message_id: str, epoch: int) -> None:
    """Keep a message's id until the database has said whether it is pending.

    Past the limit it is not kept: all that is pending is read once the mailbox is empty.
    """
    if len(conversation.unconfirmed) < conversation.limits.waiting_messages:
        conversation.unconfirmed.setdefault(message_id, (None, epoch))
    else:
        conversation.mailbox.has_more = True


def abandon(conversation: Conversation, turn: Turn) -> None:
    """Stop waiting for the AI, if it was asked."""
    if conversation.phase is Phase.CALLING:
        conversation.emit(AbandonAi(turn.job_id, turn.call))
