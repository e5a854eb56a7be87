"""How a turn ends: what is decided, and what the database says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery
from actors.conversation.effects import CommitTurn, SaveState
from actors.conversation.events import Answer, Fate, TurnCommitted
from actors.conversation.message import Line
from actors.conversation.phase import Phase
from actors.conversation.tenure import fence, hold, lose
from actors.conversation.turn import Decision, Turn

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def commit(
    c: Conversation,
    turn: Turn,
    status: str,
    *,
    reason: str | None = None,
    answer: Answer | None = None,
) -> None:
    """Issue the commit of a turn; from here on only the database can still stop it."""
    reply = turn.policy.fallback_message if status == "failed" else None
    if answer is not None:
        reply = answer.reply
    lines = [message.line for message in turn.ordered]
    if reply:
        lines.append(Line("assistant", reply))
    if turn.first_position is None:
        turn.first_position = c.position + 1
        c.position += len(lines)
    turn.decision = Decision(
        status=status,
        reason=reason,
        lines=tuple(lines),
        position=turn.first_position + len(lines) - 1,
        conversation_status=_status_after(c, turn, status, answer),
        delivering=len(c.outbox) == 0,
    )
    c.phase = Phase.COMMITTING
    c.emit(_effect(c, turn, turn.decision, turn.first_position, reply, answer))


def _status_after(c: Conversation, turn: Turn, status: str, answer: Answer | None) -> str:
    if status == "cancelled" and c.status == "with_agent":
        return "with_agent"
    if answer is not None and answer.transfers and turn.policy.silent_after_transfer:
        return "with_agent"
    return "ended" if answer is not None and answer.ends else "active"


def _effect(
    c: Conversation,
    turn: Turn,
    decision: Decision,
    first_position: int,
    reply: str | None,
    answer: Answer | None,
) -> CommitTurn:
    return CommitTurn(
        epoch=c.epoch,
        job_id=turn.job_id,
        call=turn.call,
        lock_id=c.lock_id,
        kind=c.lease_kind,
        messages=tuple(turn.ordered),
        first_position=first_position,
        status=decision.status,
        reason=decision.reason,
        reply=reply or None,
        answer=answer,
        conversation_status=decision.conversation_status,
        context_start=decision.position if decision.conversation_status == "ended" else None,
        delivering=decision.delivering,
    )


def on_committed(c: Conversation, event: TurnCommitted, now: float) -> None:
    """The commit has been decided."""
    turn = c.turn
    if turn is None or turn.decision is None:
        return
    if event.fate is Fate.DONE:
        _committed(c, turn, turn.decision, event, now)
    elif event.fate is Fate.FENCED:
        fence(c, now)
    elif event.fate is Fate.REFUSED:
        _refused(c, turn, turn.decision, now)
    else:
        look_again(c, turn, now)


def _committed(
    c: Conversation, turn: Turn, decision: Decision, event: TurnCommitted, now: float
) -> None:
    for message in turn.messages:
        c.remember_finished(message.message_id)
        c.last_activity_at = max(c.last_activity_at, message.accepted_at)
    c.calls.pop(turn.job_id, None)
    c.status = decision.conversation_status
    said_since = c.position - decision.position
    if c.status == "ended":
        c.context = c.context[-said_since:] if said_since else []
    else:
        c.say(*decision.lines, before=said_since)
    end(c, now)
    delivery.enqueue(c, turn, decision, event)
    c.emit(SaveState())


def _refused(c: Conversation, turn: Turn, decision: Decision, now: float) -> None:
    """The database does not take the answer: the turn fails; if not even that, leave it alone."""
    if decision.status != "completed":
        lose(c, now)
        return
    _take_back(c, decision)
    turn.first_position = None
    turn.call = c.next_call(turn.job_id)
    commit(c, turn, "failed", reason="ai_invalid_response")


def _take_back(c: Conversation, decision: Decision) -> None:
    """Free the places in the context that were not taken, unless a later one was."""
    if c.position == decision.position:
        c.position -= len(decision.lines)


def end(c: Conversation, now: float) -> None:
    """Leave the turn."""
    c.turn = None
    c.phase = Phase.IDLE
    c.idle_since = now


def look_again(c: Conversation, turn: Turn, now: float) -> None:
    """Leave a turn some of whose messages are decided, and ask the database which are not."""
    if turn.decision is not None:
        _take_back(c, turn.decision)
    end(c, now)
    for message in turn.messages:
        hold(c, message.message_id, c.epoch)
