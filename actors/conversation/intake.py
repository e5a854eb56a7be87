"""How messages come in: confirmed as pending, recorded at once, taken into a turn, or waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import busy, delivery, settling, turns
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
from actors.conversation.tenure import hold, start_over

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
    has_more = c.mailbox.has_more or event.has_more
    c.mailbox.has_more = False
    _admit(c, event.messages, now, has_more=has_more)
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
    elif message.job_id in c.finished:
        c.emit(Tell(message.message_id, Word.GONE))
    elif event.epoch == c.epoch:
        take_in(c, message, now)
    else:
        hold(c, message.message_id, event.epoch)
    if event.epoch > c.epoch:
        start_over(c, event.epoch)


def on_poked(c: Conversation, event: Poked, now: float) -> None:
    """Somebody asks after a message: say where it stands, or look it up."""
    if event.message_id is not None:
        if c.knows(event.message_id):
            _repeat(c, event.message_id)
        else:
            hold(c, event.message_id, event.epoch)
    if event.epoch > c.epoch:
        start_over(c, event.epoch)


def on_fetched(c: Conversation, event: PendingFetched, now: float) -> None:
    """The database's pending messages are here; one asked for that is not among them is decided.

    Where they are not all, it may also be one of the rest: it is asked for again with the next.
    """
    asked, c.fetching = c.fetching or (), None
    pending = {message.message_id for message in event.messages}
    absent = [message_id for message_id in asked if message_id not in pending]
    if not event.complete:
        c.unseen = tuple(absent[: c.limits.waiting_messages])
        absent = []
    for message_id in absent:
        if c.knows(message_id):
            _repeat(c, message_id)
        else:
            c.emit(Tell(message_id, Word.GONE))
    _admit(c, event.messages, now, has_more=not event.complete)


def _admit(c: Conversation, messages: tuple[Message, ...], now: float, *, has_more: bool) -> None:
    if has_more and messages:
        c.mailbox.cut_after(messages[-1].seq)
    for message in messages:
        c.unconfirmed.pop(message.message_id, None)
        if not (c.knows(message.message_id) or message.job_id in c.finished):
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
        if message.sender_type == "agent":
            turns.yield_to_agent(c, now)  # first: what the agent answers was said before
        settling.record(c, message, "not_from_user")
    elif message.is_empty:
        settling.record(c, message, "empty_message")
    elif c.phase in IN_TURN:
        busy.receive_during_turn(c, message, now)
    else:
        _wait(c, message, now)


def _wait(c: Conversation, message: Message, now: float) -> None:
    turns.note_arrival(c, now)
    has_room = c.mailbox.put(message)
    if c.phase is not Phase.DEBOUNCING:
        if len(c.untold) < c.limits.waiting_messages:
            c.untold.append(message)
    elif has_room:
        turns.tell_waiting(c, message.message_id)
    else:
        c.emit(Tell(message.message_id, Word.LOCKED, message.job_id, queued=True))


def on_job_cancelled(c: Conversation, event: JobCancelled, now: float) -> None:
    """A job was cancelled in the database: stop what is done for it."""
    turns.cancel(c, event.job_id, now)
    for message in c.mailbox.remove_job(event.job_id):
        turns.tell_cancelled(c, message, event.job_id)
    delivery.cancel(c, event.job_id)
    if c.phase is Phase.DEBOUNCING:
        c.phase = Phase.IDLE


def on_tick(c: Conversation, event: Tick, now: float) -> None:
    """Try a delivery again, if it is due (a debounce is seen to after every event)."""
    delivery.retry(c, now)
