"""How messages come in: confirmed as pending, recorded at once, taken into a turn, or waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import busy, delivery, isolation, settling, stopping, turns
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


def hold_message(conversation: Conversation, message: Message, epoch: int) -> None:
    """Keep a message, with its content, until the database has said whether it is pending."""
    hold(conversation, message.message_id, epoch)
    if message.message_id in conversation.unconfirmed:
        conversation.unconfirmed[message.message_id] = (message, epoch)


def take_claimed(conversation: Conversation, event: Claimed, now: float) -> None:
    """Take in what the claim brought, and what came meanwhile.

    A message accepted under the epoch of this claim can only be decided here, so it is surely
    pending. One accepted before is looked up, unless the claim brought it.
    """
    conversation.latest_seq = event.last_seq
    held, conversation.unconfirmed = conversation.unconfirmed, {}
    has_more = conversation.mailbox.has_more or event.has_more
    conversation.mailbox.has_more = False
    _admit(conversation, event.messages, now, has_more=has_more)
    for message_id, (message, epoch) in held.items():
        if conversation.knows(message_id):
            _repeat(conversation, message_id)
        elif message is not None and epoch == conversation.epoch:
            _take_new(conversation, message, now)
        else:
            hold(conversation, message_id, epoch)


def on_message(conversation: Conversation, event: MessageReceived, now: float) -> None:
    """A new message of a conversation that is ours.

    It is taken as it is only if none is missing before it: what was accepted by another cluster, or
    by an ingress that died, may still be on its way here and is not to be overtaken.
    """
    message = event.message
    if conversation.knows(message.message_id):
        _repeat(conversation, message.message_id)
    elif message.job_id in conversation.finished:
        conversation.emit(Tell(message.message_id, Word.GONE))
    elif event.epoch == conversation.epoch:
        _take_new(conversation, message, now)
    else:
        hold(conversation, message.message_id, event.epoch)
    if event.epoch > conversation.epoch:
        start_over(conversation, event.epoch)


def on_poked(conversation: Conversation, event: Poked, now: float) -> None:
    """Somebody asks after a message: say where it stands, or look it up."""
    if event.message_id is None:
        # Deliveries are due: those that are held are seen to.
        conversation.is_outdated = conversation.is_outdated or not conversation.outbox
    elif _is_asked_anew(conversation, event.message_id, event.job_id):
        conversation.is_outdated = True
    elif conversation.knows(event.message_id):
        _repeat(conversation, event.message_id)
    else:
        hold(conversation, event.message_id, event.epoch)
    if event.epoch > conversation.epoch:
        start_over(conversation, event.epoch)


def _is_asked_anew(conversation: Conversation, message_id: str, job_id: str | None) -> bool:
    """Whether a message that was decided here is pending again, under another job."""
    finished_by = conversation.finished.get(message_id)
    return None not in (finished_by, job_id) and finished_by != job_id


def on_fetched(conversation: Conversation, event: PendingFetched, now: float) -> None:
    """The database's pending messages are here; one asked for that is not among them is decided.

    Where they are not all, it may also be one of the rest: it is asked for again with the next.
    """
    asked, conversation.fetching = conversation.fetching or (), None
    pending = {message.message_id for message in event.messages}
    absent = [message_id for message_id in asked if message_id not in pending]
    if not event.complete:
        conversation.unseen = tuple(absent[: conversation.limits.waiting_messages])
        absent = []
    for message_id in absent:
        if conversation.knows(message_id):
            _repeat(conversation, message_id)
        else:
            conversation.emit(Tell(message_id, Word.GONE))
    _admit(conversation, event.messages, now, has_more=not event.complete)


def _admit(
    conversation: Conversation, messages: tuple[Message, ...], now: float, *, has_more: bool
) -> None:
    if has_more and messages:
        conversation.mailbox.cut_after(messages[-1].seq)
    for message in messages:
        conversation.latest_seq = max(conversation.latest_seq, message.seq)
        conversation.unconfirmed.pop(message.message_id, None)
        if _is_asked_anew(conversation, message.message_id, message.job_id):
            conversation.is_outdated = True  # nor is what came after it to go ahead of it
        elif not (
            conversation.knows(message.message_id) or message.job_id in conversation.finished
        ):
            take_in(conversation, message, now)
    conversation.mailbox.has_more = conversation.mailbox.has_more or has_more


def _take_new(conversation: Conversation, message: Message, now: float) -> None:
    """Take in a message that comes from its acceptance, unless an earlier one has not come yet.

    That happens where several ingresses accept for one conversation, and all the more from another
    cluster. Then both are read from the database, so that none is answered ahead of an earlier one;
    where the mailbox leaves later ones out, they are read anyway.
    """
    if message.previous_seq > conversation.latest_seq and not conversation.mailbox.has_more:
        hold(conversation, message.message_id, conversation.epoch)
        return
    conversation.latest_seq = max(conversation.latest_seq, message.seq)
    take_in(conversation, message, now)


def _repeat(conversation: Conversation, message_id: str) -> None:
    """Tell a caller that came later where its message stands."""
    if conversation.turn is not None and conversation.turn.holds(message_id):
        count = len(conversation.turn.messages)
        conversation.emit(
            Tell(message_id, Word.STARTED, conversation.turn.job_id, consolidated_messages=count)
        )
    elif conversation.mailbox.find(message_id) is not None:
        if conversation.phase is not Phase.IDLE:
            turns.tell_waiting(conversation, message_id)
    elif message_id in conversation.finished and not delivery.is_unanswered(
        conversation, message_id
    ):
        conversation.emit(Tell(message_id, Word.GONE))


def take_in(conversation: Conversation, message: Message, now: float) -> None:
    """Give a pending message its place."""
    if not message.is_from_user:
        if message.sender_type == "agent":
            stopping.yield_to_agent(conversation, now)  # what it answers was said before
        settling.record(conversation, message, "not_from_user")
    elif message.is_empty:
        settling.record(conversation, message, "empty_message")
    elif conversation.phase in IN_TURN:
        busy.receive_during_turn(conversation, message, now)
    else:
        _wait(conversation, message, now)


def _wait(conversation: Conversation, message: Message, now: float) -> None:
    turns.note_arrival(conversation, now)
    has_room = conversation.mailbox.put(message)
    if conversation.phase is not Phase.DEBOUNCING:
        if len(conversation.untold) < conversation.limits.waiting_messages:
            conversation.untold.append(message)
    elif has_room:
        turns.tell_waiting(conversation, message.message_id)
    else:
        conversation.emit(Tell(message.message_id, Word.LOCKED, message.job_id, queued=True))


def on_job_cancelled(conversation: Conversation, event: JobCancelled, now: float) -> None:
    """A job was cancelled in the database: stop what is done for it."""
    stopping.cancel(conversation, event.job_id, now)
    cancelled = conversation.mailbox.remove_job(event.job_id)
    if cancelled:
        isolation.end_count(conversation)
    for message in cancelled:
        stopping.tell_cancelled(conversation, message, event.job_id)
    delivery.cancel(conversation, event.job_id)
    if conversation.phase is Phase.DEBOUNCING:
        conversation.phase = Phase.IDLE


def on_tick(conversation: Conversation, event: Tick, now: float) -> None:
    """Try a delivery again, if it is due (a debounce is seen to after every event)."""
    delivery.retry(conversation, now)
