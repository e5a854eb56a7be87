"""What an owner does next, after every event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import settling, turns
from actors.conversation.effects import FetchPending
from actors.conversation.phase import Phase
from actors.conversation.tenure import passivate, refresh

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def advance(conversation: Conversation, now: float) -> None:
    """Go on with whatever waits, if nothing is under way.

    While the database is being asked for what it holds no turn starts, so that none is started
    ahead of an earlier message. One that is being given up starts nothing.
    """
    if conversation.is_draining:
        _give_up(conversation)
        return
    is_short = conversation.mailbox.is_torn or (
        conversation.mailbox.has_more and not conversation.mailbox
    )
    if conversation.fetching is None and (conversation.unconfirmed or is_short):
        _fetch(conversation)
    if conversation.fetching is not None:
        return
    if conversation.phase is Phase.DEBOUNCING:
        turns.gather(conversation, now)
    if conversation.phase is not Phase.IDLE:
        return
    if conversation.is_outdated:
        if not _is_ending(conversation):
            refresh(conversation)
        return
    settling.record_unanswerable(conversation)
    _go_on(conversation, now)


def _go_on(conversation: Conversation, now: float) -> None:
    limits = conversation.limits
    if conversation.mailbox and len(conversation.outbox) < limits.undelivered_jobs:
        if now >= conversation.not_before:
            conversation.not_before = 0.0
            turns.begin(conversation, now)
    elif conversation.is_quiet and now >= conversation.idle_since + limits.idle_seconds:
        passivate(conversation)


def _give_up(conversation: Conversation) -> None:
    """Let go once nothing is under way. What is still to be looked up, the next owner looks up."""
    if conversation.phase is Phase.IDLE and not _is_ending(conversation):
        passivate(conversation)


def _is_ending(conversation: Conversation) -> bool:
    """Whether what a message or a delivery has come to is still to be written down."""
    return bool(conversation.settling) or conversation.outbox.is_moving


def _fetch(conversation: Conversation) -> None:
    conversation.fetching = tuple(dict.fromkeys((*conversation.unseen, *conversation.unconfirmed)))
    conversation.unseen, conversation.unconfirmed = (), {}
    conversation.mailbox.has_more = False
    conversation.fetch_attempt += 1
    conversation.emit(FetchPending(conversation.fetch_attempt))
