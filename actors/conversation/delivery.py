"""Committed answers go to the platform, one at a time and in order, beside the turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.effects import CountDelivery, Deliver, RecordDelivery, Tell, Word
from actors.conversation.events import (
    DeliveryCounted,
    DeliveryEnded,
    DeliveryRecorded,
    Fate,
    TurnCommitted,
)
from actors.conversation.outbox import Delivery, OutboxState
from actors.conversation.tenure import fence

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation
    from actors.conversation.turn import Decision, Turn


def restore(
    conversation: Conversation, deliveries: tuple[tuple[Delivery, float], ...], now: float
) -> None:
    """Take over what an earlier owner committed and did not deliver."""
    for entry, _ in deliveries:
        entry.is_answered = True
        conversation.outbox.add(entry)
    if deliveries:
        conversation.outbox.state = OutboxState.WAITING
        conversation.outbox.retry_at = deliveries[0][1]
        retry(conversation, now)


def enqueue(
    conversation: Conversation, turn: Turn, decision: Decision, event: TurnCommitted
) -> None:
    """Send what a turn committed, or answer at once where there is nothing to send."""
    entry = event.delivery or Delivery(turn.job_id, turn.policy.bot_id, "", _ids(turn))
    entry.result, entry.newer = event.result, list(turn.newer.values())
    entry.failure = decision.reason
    if event.delivery is None:
        _answer(conversation, entry, "success", 0)
        return
    conversation.outbox.add(entry)
    if len(conversation.outbox) == 1 and decision.delivering:
        _send(conversation, entry)
    elif len(conversation.outbox) == 1:
        _count(conversation)
    elif conversation.outbox.state is OutboxState.WAITING:
        _answer(conversation, entry, "pending", 0)


def is_unanswered(conversation: Conversation, message_id: str) -> bool:
    """Whether the callers of this message are still to be told how its turn ended."""
    return any(message_id in d.message_ids and not d.is_answered for d in conversation.outbox)


def _ids(turn: Turn) -> tuple[str, ...]:
    return tuple(message.message_id for message in turn.ordered)


def _count(conversation: Conversation) -> None:
    """Count the next attempt before it is made."""
    entry = conversation.outbox.first
    conversation.outbox.retry_at = None
    if entry is None:
        conversation.outbox.state = OutboxState.EMPTY
    else:
        conversation.outbox.state = OutboxState.COUNTING
        conversation.emit(CountDelivery(conversation.epoch, entry.job_id, entry.attempts))


def _send(conversation: Conversation, entry: Delivery) -> None:
    conversation.outbox.state = OutboxState.SENDING
    conversation.outbox.retry_at = None
    entry.attempts += 1
    conversation.emit(
        Deliver(
            conversation.epoch,
            entry.job_id,
            entry.bot_id,
            entry.body,
            entry.attempts,
            entry.action_count,
        )
    )


def on_counted(conversation: Conversation, event: DeliveryCounted, now: float) -> None:
    """The attempt is counted: make it."""
    entry = conversation.outbox.first
    if entry is None:
        return
    if event.fate is Fate.FENCED:
        fence(conversation, now)
    elif event.fate is Fate.DONE:
        _send(conversation, entry)
    else:
        conversation.outbox.drop(entry.job_id)
        entry.failure = "cancelled"
        _answer(conversation, entry, "failed", 0)
        _count(conversation)


def on_ended(conversation: Conversation, event: DeliveryEnded, now: float) -> None:
    """An attempt ended: write down how."""
    conversation.outbox.state = OutboxState.RECORDING
    conversation.emit(
        RecordDelivery(
            conversation.epoch,
            event.job_id,
            event.result,
            event.actions_executed,
            event.retry_at,
            event.error,
        )
    )


def on_recorded(conversation: Conversation, event: DeliveryRecorded, now: float) -> None:
    """How the attempt ended is written down: answer, and go on with the next or wait."""
    entry = conversation.outbox.first
    if entry is None:
        return
    if event.fate is Fate.FENCED:
        fence(conversation, now)
        return
    if event.result == "retry":
        conversation.outbox.state = OutboxState.WAITING
        conversation.outbox.retry_at = event.retry_at
        for waiting in conversation.outbox:
            _answer(conversation, waiting, "pending", 0)
        retry(conversation, now)
        return
    conversation.outbox.drop(entry.job_id)
    _answer(
        conversation,
        entry,
        "success" if event.result == "sent" else "failed",
        event.actions_executed,
    )
    _count(conversation)
    conversation.idle_since = now


def retry(conversation: Conversation, now: float) -> None:
    """Try the first delivery again, if its time has come."""
    due = conversation.outbox.retry_at
    if conversation.outbox.state is OutboxState.WAITING and due is not None and now >= due:
        _count(conversation)


def cancel(conversation: Conversation, job_id: str) -> None:
    """Drop a committed answer that was cancelled before any attempt."""
    first = conversation.outbox.first
    if first is not None and first.job_id == job_id and conversation.outbox.is_moving:
        return
    entry = conversation.outbox.drop(job_id)
    if entry is not None:
        entry.failure = "cancelled"
        _answer(conversation, entry, "failed", 0)
        if entry is first:
            _count(conversation)


def _answer(
    conversation: Conversation, entry: Delivery, pancake_status: str, executed: int
) -> None:
    """Tell the callers of a turn, once."""
    if entry.is_answered:
        return
    entry.is_answered = True
    word = Word.COMPLETED
    if entry.failure is not None:
        word = Word.FAILED
    elif entry.newer:
        word = Word.RESTART_NEEDED
    for message_id in entry.message_ids:
        conversation.emit(
            Tell(
                message_id,
                word,
                entry.job_id,
                consolidated_messages=len(entry.message_ids),
                reason=entry.failure,
                result=entry.result,
                pancake_status=pancake_status,
                actions_executed=executed,
                newer=tuple(entry.newer),
                restart_job_id=next((n.job_id for n in entry.newer if n.job_id), None),
            )
        )
