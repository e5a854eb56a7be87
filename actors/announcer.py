"""Turns what a conversation has to tell into outcomes for the ingresses that wait."""

from __future__ import annotations

from actors.conversation.effects import Tell, Word
from actors.conversation.events import LeaseKind
from actors.outcome import NewerMessage, Outcome, OutcomeKind
from actors.outcome_streams import OutcomeSink
from actors.seat import Seat

__all__ = ["announce"]


def announce(outcomes: OutcomeSink, seat: Seat, tell: Tell) -> None:
    """Tell all who wait for a message: of its start only those who want that, then for good."""
    ingresses = seat.callers.get(tell.message_id)
    if not ingresses:
        return
    if tell.word is Word.STARTED:
        ingresses = {it: hears_start for it, hears_start in ingresses.items() if hears_start}
        if not ingresses:
            return
    else:
        del seat.callers[tell.message_id]
    outcome = _outcome(seat, tell)
    for ingress_id in ingresses:
        outcomes.put(ingress_id, outcome)


def _outcome(seat: Seat, tell: Tell) -> Outcome:
    conversation = seat.conversation
    has_redis = conversation.lease_kind is LeaseKind.REDIS
    return Outcome(
        conversation_id=seat.conversation_id,
        message_id=tell.message_id,
        kind=OutcomeKind(tell.word.value),
        job_id=tell.job_id,
        lock_id=conversation.lock_id or None,
        queued=tell.queued,
        consolidated_messages=tell.consolidated_messages,
        reason=tell.reason,
        result=_result(tell),
        newer_messages=[
            NewerMessage(message_id=it.message_id, timestamp=it.timestamp) for it in tell.newer
        ],
        restart_job_id=tell.restart_job_id,
        elsewhere_seconds=seat.elsewhere_seconds.get(tell.job_id or "", 0.0),
        storage_backend="Redis" if has_redis else "Memory",
        distributed_lock_used=has_redis,
    )


def _result(tell: Tell) -> str | None:
    if tell.result is None:
        return None
    pancake = f'{{"status":"{tell.pancake_status}","actions_executed":{tell.actions_executed}}}'
    return f'{{{tell.result},"pancake_result":{pancake}}}'
