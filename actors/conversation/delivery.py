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


def restore(c: Conversation, deliveries: tuple[tuple[Delivery, float], ...], now: float) -> None:
    """Take over what an earlier owner committed and did not deliver."""
    for entry, _ in deliveries:
        entry.is_answered = True
        c.outbox.add(entry)
    if deliveries:
        c.outbox.state = OutboxState.WAITING
        c.outbox.retry_at = deliveries[0][1]
        retry(c, now)


def enqueue(c: Conversation, turn: Turn, decision: Decision, event: TurnCommitted) -> None:
    """Send what a turn committed, or answer at once where there is nothing to send."""
    entry = event.delivery or Delivery(turn.job_id, turn.policy.bot_id, "", _ids(turn))
    entry.result, entry.newer = event.result, list(turn.newer.values())
    entry.failure = decision.reason
    if event.delivery is None:
        _answer(c, entry, "success", 0)
        return
    c.outbox.add(entry)
    if len(c.outbox) == 1 and decision.delivering:
        _send(c, entry)
    elif len(c.outbox) == 1:
        _count(c)
    elif c.outbox.state is OutboxState.WAITING:
        _answer(c, entry, "pending", 0)


def is_unanswered(c: Conversation, message_id: str) -> bool:
    """Whether the callers of this message are still to be told how its turn ended."""
    return any(message_id in d.message_ids and not d.is_answered for d in c.outbox)


def _ids(turn: Turn) -> tuple[str, ...]:
    return tuple(message.message_id for message in turn.ordered)


def _count(c: Conversation) -> None:
    """Count the next attempt before it is made."""
    entry = c.outbox.first
    c.outbox.retry_at = None
    if entry is None:
        c.outbox.state = OutboxState.EMPTY
    else:
        c.outbox.state = OutboxState.COUNTING
        c.emit(CountDelivery(c.epoch, entry.job_id))


def _send(c: Conversation, entry: Delivery) -> None:
    c.outbox.state = OutboxState.SENDING
    c.outbox.retry_at = None
    entry.attempts += 1
    c.emit(
        Deliver(c.epoch, entry.job_id, entry.bot_id, entry.body, entry.attempts, entry.action_count)
    )


def on_counted(c: Conversation, event: DeliveryCounted, now: float) -> None:
    """The attempt is counted: make it."""
    entry = c.outbox.first
    if entry is None:
        return
    if event.fate is Fate.FENCED:
        fence(c, now)
    elif event.fate is Fate.DONE:
        _send(c, entry)
    else:
        c.outbox.drop(entry.job_id)
        entry.failure = "cancelled"
        _answer(c, entry, "failed", 0)
        _count(c)


def on_ended(c: Conversation, event: DeliveryEnded, now: float) -> None:
    """An attempt ended: write down how."""
    c.outbox.state = OutboxState.RECORDING
    c.emit(
        RecordDelivery(
            c.epoch,
            event.job_id,
            event.result,
            event.actions_executed,
            event.retry_at,
            event.error,
        )
    )


def on_recorded(c: Conversation, event: DeliveryRecorded, now: float) -> None:
    """How the attempt ended is written down: answer, and go on with the next or wait."""
    entry = c.outbox.first
    if entry is None:
        return
    if event.fate is Fate.FENCED:
        fence(c, now)
        return
    if event.result == "retry":
        c.outbox.state = OutboxState.WAITING
        c.outbox.retry_at = event.retry_at
        for waiting in c.outbox:
            _answer(c, waiting, "pending", 0)
        retry(c, now)
        return
    c.outbox.drop(entry.job_id)
    _answer(c, entry, "success" if event.result == "sent" else "failed", event.actions_executed)
    _count(c)
    c.idle_since = now


def retry(c: Conversation, now: float) -> None:
    """Try the first delivery again, if its time has come."""
    due = c.outbox.retry_at
    if c.outbox.state is OutboxState.WAITING and due is not None and now >= due:
        _count(c)


def cancel(c: Conversation, job_id: str) -> None:
    """Drop a committed answer that was cancelled before any attempt."""
    first = c.outbox.first
    if first is not None and first.job_id == job_id and c.outbox.is_moving:
        return
    entry = c.outbox.drop(job_id)
    if entry is not None:
        entry.failure = "cancelled"
        _answer(c, entry, "failed", 0)
        if entry is first:
            _count(c)


def _answer(c: Conversation, entry: Delivery, pancake_status: str, executed: int) -> None:
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
        c.emit(
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
