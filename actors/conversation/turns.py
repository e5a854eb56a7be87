"""A turn from its first message to its commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import delivery, settling
from actors.conversation.effects import (
    AbandonAi,
    CallAi,
    CommitTurn,
    SaveState,
    StartTurn,
    Tell,
    Word,
)
from actors.conversation.events import (
    AiAnswered,
    AiFailed,
    Answer,
    Fate,
    TurnCommitted,
    TurnStarted,
)
from actors.conversation.message import Line, Message
from actors.conversation.phase import Phase
from actors.conversation.policy import BusyPolicy
from actors.conversation.tenure import fence, hold, lose
from actors.conversation.turn import Decision, Newer, Turn

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def note_arrival(c: Conversation, now: float) -> None:
    """Note when the burst that waits began, and when it last grew."""
    if not c.mailbox:
        c.first_arrival = now
        c.queued_during_turn = False
    c.last_arrival = now


def begin(c: Conversation, now: float) -> None:
    """Start the next turn, or wait for more of the burst first."""
    head = c.mailbox.first
    if head is None:
        return
    queued = c.queued_during_turn and head.policy.is_queue
    if head.policy.debounce_seconds > 0 and head.turn_job_id is None and not queued:
        c.phase = Phase.DEBOUNCING
        c.emit(Tell(head.message_id, Word.STARTED, head.job_id))
        for message in c.untold:
            if message is not head:
                tell_waiting(c, message.message_id)
        c.untold = []
        gather(c, now)
    else:
        start(c, now, gathered=False)


def gather(c: Conversation, now: float) -> None:
    """Wait until the burst has paused for the debounce time, or has lasted for its maximum."""
    head = c.mailbox.first
    if head is None:
        c.phase = Phase.IDLE
        return
    policy = head.policy
    longest = max(policy.debounce_seconds, policy.debounce_max_seconds)
    c.wake_at = min(c.last_arrival + policy.debounce_seconds, c.first_arrival + longest)
    group = c.mailbox.turn_of(head.message_id, gathered=True)
    if now >= c.wake_at or len(group) >= c.limits.turn_messages:
        start(c, now, gathered=True)


def start(c: Conversation, now: float, *, gathered: bool) -> None:
    """Put the next messages into a turn."""
    messages = c.mailbox.take_turn(gathered=gathered)
    turn = c.turn = Turn(messages[0].turn_job_id or messages[0].job_id, messages, started_at=now)
    c.first_arrival = now
    first, *others = messages
    count = len(messages)
    c.emit(Tell(first.message_id, Word.STARTED, turn.job_id, consolidated_messages=count))
    for message in others:
        c.emit(
            Tell(
                message.message_id,
                Word.LOCKED,
                turn.job_id,
                queued=True,
                consolidated_messages=count,
            )
        )
    untold, c.untold = c.untold, []
    for message in untold:
        if c.mailbox.find(message.message_id) is not None:
            tell_waiting(c, message.message_id)
            turn.newer.append(Newer(message.message_id, message.timestamp, message.job_id))
    _mark(c, turn)


def _mark(c: Conversation, turn: Turn) -> None:
    """Write the turn's messages down; the AI waits for it only where jobs are merged away."""
    superseded = tuple(turn.superseded_job_ids)
    ids = tuple(message.message_id for message in turn.ordered)
    c.emit(StartTurn(c.epoch, turn.job_id, turn.call, ids, superseded))
    if superseded:
        c.phase = Phase.STARTING
    else:
        _call_ai(c, turn)


def _call_ai(c: Conversation, turn: Turn) -> None:
    c.phase = Phase.CALLING
    count = turn.policy.context_messages
    context = turn.own_context
    if context is None:
        context = tuple(c.context[-count:]) if count else ()
    c.emit(CallAi(turn.job_id, turn.call, tuple(turn.ordered), context))
    c.emit(SaveState())


def tell_waiting(c: Conversation, message_id: str) -> None:
    """Tell a caller that its message waits, and which job will answer it."""
    gathering = c.phase is Phase.DEBOUNCING
    group = c.mailbox.turn_of(message_id, gathered=gathering)
    job_id = group[0].turn_job_id or group[0].job_id
    is_gathered = gathering and group[0] is c.mailbox.first
    if is_gathered and group[0].message_id == message_id:
        c.emit(Tell(message_id, Word.STARTED, job_id, consolidated_messages=len(group)))
    else:
        c.emit(Tell(message_id, Word.LOCKED, job_id, queued=True, consolidated_messages=len(group)))


def receive_during_turn(c: Conversation, message: Message, now: float) -> None:
    """A user's message while a turn runs: what becomes of it is the bot's policy."""
    turn = c.turn
    assert turn is not None  # noqa: S101 -- the phase says so
    policy = message.policy.busy_policy
    if policy is BusyPolicy.REJECT and message.turn_job_id is None:
        turn.newer.append(Newer(message.message_id, message.timestamp, None))
        settling.reject(c, message)
    elif policy is BusyPolicy.RESTART and _may_restart(c, turn, message, now):
        _restart(c, turn, message)
    else:
        _queue(c, turn, message, now)


def _queue(c: Conversation, turn: Turn, message: Message, now: float) -> None:
    note_arrival(c, now)
    c.queued_during_turn = True
    if c.mailbox.put(message):
        tell_waiting(c, message.message_id)
        group = c.mailbox.turn_of(message.message_id, gathered=False)
        job_id = group[0].turn_job_id or group[0].job_id
    else:
        job_id = message.job_id
        c.emit(Tell(message.message_id, Word.LOCKED, job_id, queued=True))
    turn.newer.append(Newer(message.message_id, message.timestamp, job_id))


def _may_restart(c: Conversation, turn: Turn, message: Message, now: float) -> bool:
    limits = c.limits
    characters = sum(len(m.content) for m in turn.messages) + len(message.content)
    return (
        c.phase in (Phase.STARTING, Phase.CALLING)
        and not c.mailbox
        and not c.mailbox.has_more
        and message.turn_job_id is None
        and message.policy.bot_id == turn.policy.bot_id
        and turn.restarts < limits.restarts
        and now - turn.started_at < limits.restart_window_seconds
        and len(turn.messages) < limits.turn_messages
        and characters <= limits.turn_characters
    )


def _restart(c: Conversation, turn: Turn, message: Message) -> None:
    """Abandon the AI call and start the same job again with this message too."""
    _abandon(c, turn)
    newer = Newer(message.message_id, message.timestamp, turn.job_id)
    for earlier in turn.messages:
        c.emit(
            Tell(
                earlier.message_id,
                Word.RESTART_NEEDED,
                turn.job_id,
                newer=(newer,),
                restart_job_id=turn.job_id,
            )
        )
    turn.messages.append(message)
    turn.call += 1
    count = len(turn.messages)
    c.emit(
        Tell(message.message_id, Word.LOCKED, turn.job_id, queued=True, consolidated_messages=count)
    )
    _mark(c, turn)


def _abandon(c: Conversation, turn: Turn) -> None:
    if c.phase is Phase.CALLING:
        c.emit(AbandonAi(turn.job_id, turn.call))


def yield_to_agent(c: Conversation, now: float) -> None:
    """A person has answered: stop the turn, unless its commit has been issued."""
    head = c.mailbox.first
    if c.phase is Phase.DEBOUNCING and head is not None and head.policy.yield_to_agent:
        messages = c.mailbox.take_turn(gathered=True)
        c.turn = Turn(messages[0].job_id, messages, started_at=now)
    elif not (c.phase in (Phase.STARTING, Phase.CALLING) and c.turn is not None):
        return
    turn = c.turn
    if turn is not None and turn.policy.yield_to_agent:
        _abandon(c, turn)
        turn.call += 1
        _commit(c, turn, "cancelled", reason="agent_replied")


def on_started(c: Conversation, event: TurnStarted, now: float) -> None:
    """The turn's messages are marked."""
    turn = c.turn
    if turn is None:
        return
    if event.fate is Fate.FENCED:
        fence(c, now)
    elif event.fate is Fate.CANCELLED and c.phase is not Phase.COMMITTING:
        cancel(c, turn.job_id, now)
        _look_again(c, turn, now)
    elif event.fate is not Fate.DONE and c.phase is not Phase.COMMITTING:
        _abandon(c, turn)
        _look_again(c, turn, now)
    elif c.phase is Phase.STARTING:
        _call_ai(c, turn)


def on_answered(c: Conversation, event: AiAnswered, now: float) -> None:
    """The AI has answered: commit it."""
    turn = c.turn
    if turn is not None:
        _commit(c, turn, "completed", answer=event.answer)


def on_ai_failed(c: Conversation, event: AiFailed, now: float) -> None:
    """The AI gave no usable answer: commit that, with the bot's fallback message if it has one."""
    turn = c.turn
    if turn is not None:
        _commit(c, turn, "failed", reason=event.reason)


def _commit(
    c: Conversation,
    turn: Turn,
    status: str,
    *,
    reason: str | None = None,
    answer: Answer | None = None,
) -> None:
    reply = turn.policy.fallback_message if status == "failed" else None
    conversation_status = "active"
    if answer is not None:
        reply = answer.reply
        if answer.transfers and turn.policy.silent_after_transfer:
            conversation_status = "with_agent"
        elif answer.ends:
            conversation_status = "ended"
    lines = [message.line for message in turn.ordered]
    if reply:
        lines.append(Line("assistant", reply))
    first_position = c.position + 1
    c.position += len(lines)
    turn.decision = Decision(
        status, reason, tuple(lines), conversation_status, delivering=len(c.outbox) == 0
    )
    c.phase = Phase.COMMITTING
    c.emit(
        CommitTurn(
            epoch=c.epoch,
            job_id=turn.job_id,
            call=turn.call,
            lock_id=c.lock_id,
            kind=c.lease_kind,
            messages=tuple(turn.ordered),
            first_position=first_position,
            status=status,
            reason=reason,
            reply=reply or None,
            answer=answer,
            conversation_status=conversation_status,
            context_start=c.position if conversation_status == "ended" else None,
            delivering=turn.decision.delivering,
        )
    )


def on_committed(c: Conversation, event: TurnCommitted, now: float) -> None:
    """The commit has been decided."""
    turn = c.turn
    if turn is None or turn.decision is None:
        return
    if event.fate is Fate.FENCED:
        fence(c, now)
    elif event.fate is Fate.CANCELLED:
        _end(c, now)
        _tell_cancelled(c, turn)
    elif event.fate is Fate.STALE:
        _look_again(c, turn, now)
    elif event.fate is Fate.REFUSED:
        _refused(c, turn, now)
    else:
        _committed(c, turn, turn.decision, event, now)


def _committed(
    c: Conversation, turn: Turn, decision: Decision, event: TurnCommitted, now: float
) -> None:
    for message in turn.messages:
        c.remember_finished(message.message_id)
        c.last_activity_at = max(c.last_activity_at, message.accepted_at)
    c.status = decision.conversation_status
    if c.status == "ended":
        c.context = []
    else:
        c.say(*decision.lines)
    _end(c, now)
    delivery.enqueue(c, turn, decision, event)
    c.emit(SaveState())


def _refused(c: Conversation, turn: Turn, now: float) -> None:
    """The database does not take the answer: the turn fails; if not even that, leave it alone."""
    if turn.decision is not None and turn.decision.status == "completed":
        turn.call += 1
        _commit(c, turn, "failed", reason="ai_invalid_response")
    else:
        lose(c, now)


def _end(c: Conversation, now: float) -> None:
    c.turn = None
    c.phase = Phase.IDLE
    c.idle_since = now


def _look_again(c: Conversation, turn: Turn, now: float) -> None:
    """Some of the turn's messages are not pending any more: ask the database which."""
    _end(c, now)
    for message in turn.messages:
        hold(c, message.message_id, c.epoch)


def cancel(c: Conversation, job_id: str, now: float) -> None:
    """Stop the running turn if it is this job's, unless its commit has been issued."""
    turn = c.turn
    if turn is None or turn.job_id != job_id or c.phase is Phase.COMMITTING:
        return
    _abandon(c, turn)
    _end(c, now)
    _tell_cancelled(c, turn)


def _tell_cancelled(c: Conversation, turn: Turn) -> None:
    for message in turn.messages:
        c.emit(Tell(message.message_id, Word.FAILED, turn.job_id, reason="cancelled"))
