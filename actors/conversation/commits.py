"""How a turn ends: what is decided, and what the database says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery, isolation
from actors.conversation.context import Context
from actors.conversation.effects import CommitTurn, SaveState
from actors.conversation.events import Answer, Fate, TurnCommitted
from actors.conversation.message import Line
from actors.conversation.phase import Phase
from actors.conversation.tenure import fence, hold, lose
from actors.conversation.turn import Decision, Turn

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def commit(
    conversation: Conversation,
    turn: Turn,
    status: str,
    *,
    reason: str | None = None,
    error: str | None = None,
    answer: Answer | None = None,
    is_silent: bool = False,
) -> None:
    """Issue the commit of a turn; from here on only the database can still stop it.

    ``is_silent``: not even the fallback message is sent.
    """
    reply = turn.policy.fallback_message if status == "failed" and not is_silent else None
    if answer is not None:
        reply = answer.reply
    lines = [message.line for message in turn.ordered]
    if reply:
        lines.append(Line("assistant", reply))
    if turn.first_position is None:
        turn.first_position = conversation.position + 1
        conversation.position += len(lines)
    turn.decision = Decision(
        status=status,
        reason=reason,
        lines=tuple(lines),
        position=turn.first_position + len(lines) - 1,
        conversation_status=_status_after(conversation, turn, status, answer),
        reply=reply or None,
        delivering=len(conversation.outbox) == 0,
    )
    conversation.phase = Phase.COMMITTING
    conversation.emit(
        _effect(conversation, turn, turn.decision, turn.first_position, answer, error)
    )


def _status_after(
    conversation: Conversation, turn: Turn, status: str, answer: Answer | None
) -> str:
    if status == "cancelled" and conversation.status == "with_agent":
        return "with_agent"
    if answer is not None and answer.transfers and turn.policy.silent_after_transfer:
        return "with_agent"
    return "ended" if answer is not None and answer.ends else "active"


def _effect(
    conversation: Conversation,
    turn: Turn,
    decision: Decision,
    first_position: int,
    answer: Answer | None,
    error: str | None,
) -> CommitTurn:
    return CommitTurn(
        epoch=conversation.epoch,
        job_id=turn.job_id,
        call=turn.call,
        lock_id=conversation.lock_id,
        kind=conversation.lease_kind,
        messages=tuple(turn.ordered),
        first_position=first_position,
        status=decision.status,
        reason=decision.reason,
        reply=decision.reply,
        answer=answer,
        conversation_status=decision.conversation_status,
        context_start=decision.position if decision.conversation_status == "ended" else None,
        delivering=decision.delivering,
        attempts=max(1, conversation.turn_attempts - turn.is_given_up),
        error=error,
    )


def on_committed(conversation: Conversation, event: TurnCommitted, now: float) -> None:
    """The commit has been decided."""
    turn = conversation.turn
    if turn is None or turn.decision is None:
        return
    if event.fate is Fate.DONE:
        _committed(conversation, turn, turn.decision, event, now)
    elif event.fate is Fate.FENCED:
        fence(conversation, now)
    elif event.fate is Fate.REFUSED:
        _refused(conversation, turn, turn.decision, now)
    else:
        look_again(conversation, turn, now)


def _committed(
    conversation: Conversation, turn: Turn, decision: Decision, event: TurnCommitted, now: float
) -> None:
    for message in turn.messages:
        conversation.remember_finished(message.message_id, message.job_id)
        conversation.last_activity_at = max(conversation.last_activity_at, message.accepted_at)
    conversation.calls.pop(turn.job_id, None)
    isolation.end_count(conversation)
    conversation.guarded_until = max(
        conversation.guarded_until, turn.started_at + conversation.limits.guard_seconds
    )
    conversation.status = decision.conversation_status
    said_since = conversation.position - decision.position
    if conversation.status == "ended":
        conversation.context = Context(conversation.context.latest(said_since))
    else:
        conversation.say(*decision.lines, before=said_since)
    end(conversation, now)
    delivery.enqueue(conversation, turn, decision, event)
    conversation.emit(SaveState())


def _refused(conversation: Conversation, turn: Turn, decision: Decision, now: float) -> None:
    """The database does not take the answer: the turn fails.

    If it does not take the fallback message either, none is sent. If not even that helps, leave it
    alone for a while.
    """
    if decision.status == "cancelled" or (decision.status == "failed" and not decision.reply):
        lose(conversation, now)
        if conversation.phase is Phase.BLOCKED:
            conversation.wake_at = now + conversation.limits.lease_ttl_seconds
        return
    _take_back(conversation, decision)
    turn.first_position = None
    turn.call = conversation.next_call(turn.job_id)
    commit(
        conversation,
        turn,
        "failed",
        reason=decision.reason or "ai_invalid_response",
        error="the database does not take what was to be said",
        is_silent=decision.status == "failed",
    )


def _take_back(conversation: Conversation, decision: Decision) -> None:
    """Free the places in the context that were not taken, unless a later one was."""
    if conversation.position == decision.position:
        conversation.position -= len(decision.lines)


def end(conversation: Conversation, now: float) -> None:
    """Leave the turn."""
    conversation.turn = None
    conversation.phase = Phase.IDLE
    conversation.idle_since = now


def look_again(conversation: Conversation, turn: Turn, now: float) -> None:
    """Leave a turn some of whose messages are decided, and ask the database which are not."""
    if turn.decision is not None:
        _take_back(conversation, turn.decision)
    end(conversation, now)
    for message in turn.messages:
        hold(conversation, message.message_id, conversation.epoch)
