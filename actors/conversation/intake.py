"""How messages come in: confirmed as pending, recorded at once, taken into a turn, or waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery, settling, turns
from actors.conversation.effects import Tell, Word
from actors.conversation.events import (
    Claimed,
    JobCancelled,
    MessageReceived,
    PendingFetched,
    Poked,
    Tick,
)
from actors.conversation.message import Message
from actors.conversation.phase import IN_TURN, Phase
from actors.conversation.tenure import hold

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def hold_message(c: Conversation, message: Message, epoch: int) -> None:
    """Keep a message, with its content, until the database has said whether it is pending."""
    hold(c, message.message_id, epoch)
    if message.message_id in c.unconfirmed:
        c.unconfirmed[message.message_id] = (message, epoch)


def take_claimed(c: Conversation, event: Claimed, now: float) -> None:
    """Take in what the claim brought, and what came meanwhile.

    A message accepted under the epoch of this claim can only be decided here, so it is surely
    pending. One accepted before is looked up, unless the claim brought it.
    """
    held, c.unconfirmed = c.unconfirmed, {}
    _admit(c, event.messages, now, has_more=event.has_more)
    for message_id, (message, epoch) in held.items():
        if c.knows(message_id):
            _repeat(c, message_id)
        elif message is not None and epoch == c.epoch:
            take_in(c, message, now)
        else:
            hold(c, message_id, epoch)


def on_message(c: Conversation, event: MessageReceived, now: float) -> None:
    """A new message of a conversation that is ours."""
    message = event.message
    if c.knows(message.message_id):
        _repeat(c, message.message_id)
    elif event.epoch == c.epoch:
        take_in(c, message, now)
    else:
        hold(c, message.message_id, event.epoch)


def on_poked(c: Conversation, event: Poked, now: float) -> None:
    """Somebody asks after a message: say where it stands, or look it up."""
    if event.message_id is None:
        return
    if c.knows(event.message_id):
        _repeat(c, event.message_id)
    else:
        hold(c, event.message_id, event.epoch)


def on_fetched(c: Conversation, event: PendingFetched, now: float) -> None:
    """The database's pending messages are here; one asked for that is not among them is decided."""
    asked, c.fetching = c.fetching or frozenset(), None
    pending = {message.message_id for message in event.messages}
    for message_id in asked:
        c.unconfirmed.pop(message_id, None)
        if message_id not in pending and event.complete and not c.knows(message_id):
            c.emit(Tell(message_id, Word.GONE))
    _admit(c, event.messages, now, has_more=not event.complete)


def _admit(c: Conversation, messages: tuple[Message, ...], now: float, *, has_more: bool) -> None:
    for message in messages:
        c.unconfirmed.pop(message.message_id, None)
        if not c.knows(message.message_id):
            take_in(c, message, now)
    c.mailbox.has_more = c.mailbox.has_more or has_more


def _repeat(c: Conversation, message_id: str) -> None:
    """Tell a caller that came later where its message stands."""
    if c.turn is not None and c.turn.holds(message_id):
        count = len(c.turn.messages)
        c.emit(Tell(message_id, Word.STARTED, c.turn.job_id, consolidated_messages=count))
    elif c.mailbox.find(message_id) is not None:
        if c.phase is not Phase.IDLE:
            turns.tell_waiting(c, message_id)
    elif message_id in c.finished and not delivery.is_unanswered(c, message_id):
        c.emit(Tell(message_id, Word.GONE))


def take_in(c: Conversation, message: Message, now: float) -> None:
    """Give a pending message its place."""
    if not message.is_from_user:
        settling.record(c, message, "not_from_user")
        if message.sender_type == "agent":
            turns.yield_to_agent(c, now)
    elif message.is_empty:
        settling.record(c, message, "empty_message")
    elif c.phase in IN_TURN:
        turns.receive_during_turn(c, message, now)
    else:
        _wait(c, message, now)


def _wait(c: Conversation, message: Message, now: float) -> None:
    turns.note_arrival(c, now)
    if not c.mailbox.put(message):
        c.emit(Tell(message.message_id, Word.LOCKED, message.job_id, queued=True))
    elif c.phase is Phase.DEBOUNCING:
        turns.tell_waiting(c, message.message_id)
        turns.gather(c, now)
    else:
        c.untold.append(message)


def on_job_cancelled(c: Conversation, event: JobCancelled, now: float) -> None:
    """A job was cancelled in the database: stop what is done for it."""
    turns.cancel(c, event.job_id, now)
    for message in c.mailbox.remove_job(event.job_id):
        c.emit(Tell(message.message_id, Word.FAILED, event.job_id, reason="cancelled"))
    delivery.cancel(c, event.job_id)
    if c.phase is Phase.DEBOUNCING:
        c.phase = Phase.IDLE


def on_tick(c: Conversation, event: Tick, now: float) -> None:
    """Do what is due: end a debounce, or try a delivery again."""
    if c.phase is Phase.DEBOUNCING and now >= c.wake_at:
        turns.start(c, now, gathered=True)
    delivery.retry(c, now)
