"""Holding a conversation, and letting it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.effects import AbandonAi, AcquireLease, ReleaseLease
from actors.conversation.phase import Phase

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def acquire(c: Conversation) -> None:
    """Ask for the lease. A reset seen before this is one that the claim will see too."""
    c.is_reset = False
    c.phase = Phase.ACQUIRING
    c.attempt += 1
    c.emit(AcquireLease(c.attempt))


def release(c: Conversation) -> None:
    """Give the lease back."""
    c.emit(ReleaseLease(c.lock_id, c.epoch, c.lease_kind))
    c.lock_id = ""


def block(c: Conversation, until: float) -> None:
    """Try again later, unless the host is being emptied. What was asked for is void."""
    c.attempt += 1
    if c.is_draining:
        rest(c)
        return
    c.phase = Phase.BLOCKED
    c.wake_at = until
    c.is_wanted = True


def rest(c: Conversation) -> None:
    """Forget the conversation: nothing of it is only in memory.

    Its host is told to forget it too, unless the same event wakes it up again.
    """
    c.forget()
    c.attempt += 1
    c.phase = Phase.PASSIVE


def passivate(c: Conversation) -> None:
    """Give the lease back and forget the conversation."""
    release(c)
    rest(c)


def lose(c: Conversation, now: float) -> None:
    """Stop: another owner may be at work. What was pending is pending in the database."""
    if drop(c):
        block(c, now + c.limits.retry_seconds)
    else:
        rest(c)


def fence(c: Conversation, now: float) -> None:
    """Another owner has claimed it: drop it and leave it alone for one lease time."""
    wanted = drop(c)
    if c.is_draining:
        rest(c)
        return
    c.phase = Phase.FENCED
    c.wake_at = now + c.limits.lease_ttl_seconds
    c.is_wanted = wanted


def start_over(c: Conversation, epoch: int) -> None:
    """The epoch is known to have been raised since our claim: begin afresh from the one that holds.

    What is held is void, and a new claim shows what is pending.
    """
    drop(c)
    c.epoch = epoch
    c.is_wanted = True
    acquire(c)


def drop(c: Conversation) -> bool:
    """Let go of everything; answer whether there was work in it.

    The ids of messages whose callers still wait are kept: after the next claim they are looked up,
    or they are handed to the next owner.
    """
    busy = not c.is_quiet or len(c.outbox) > 0
    if c.phase is Phase.CALLING and c.turn is not None:
        c.emit(AbandonAi(c.turn.job_id, c.turn.call))
    release(c)
    held, undecided = c.unconfirmed, c.undecided()
    c.forget()
    c.unconfirmed = held
    for message_id in undecided:
        hold(c, message_id, c.epoch)
    return busy


def hold(c: Conversation, message_id: str, epoch: int) -> None:
    """Keep a message's id until the database has said whether it is pending.

    Past the limit it is not kept: all that is pending is read once the mailbox is empty.
    """
    if len(c.unconfirmed) < c.limits.waiting_messages:
        c.unconfirmed.setdefault(message_id, (None, epoch))
    else:
        c.mailbox.has_more = True
