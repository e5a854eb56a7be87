"""A turn from its first message until its end is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.commits import commit, end, look_again
from actors.conversation.effects import (
    AbandonAi,
    CallAi,
    SaveState,
    StartTurn,
    Tell,
    Word,
)
from actors.conversation.events import (
    AiAnswered,
    AiFailed,
    Fate,
    TurnStarted,
)
from actors.conversation.message import Message
from actors.conversation.phase import Phase
from actors.conversation.tenure import fence, hold, lose
from actors.conversation.turn import Turn

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
        untold, c.untold = c.untold, []
        for message in untold:
            if message is not head:
                _tell_behind(c, message)
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


def start(c: Conversation, now: float, *, gathered: bool, is_yielding: bool = False) -> None:
    """Put the next messages into a turn."""
    messages = c.mailbox.take_turn(gathered=gathered)
    job_id = messages[0].turn_job_id or messages[0].job_id
    turn = c.turn = Turn(job_id, messages, now, c.next_call(job_id), is_yielding=is_yielding)
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
        if _tell_behind(c, message):
            turn.note_newer(message, message.job_id)
    mark(c, turn)


def _tell_behind(c: Conversation, message: Message) -> bool:
    """Tell a caller that its message waits behind the turn; False where it was decided."""
    if c.mailbox.find(message.message_id) is not None:
        tell_waiting(c, message.message_id)
    elif c.knows(message.message_id):
        return False
    else:
        c.emit(Tell(message.message_id, Word.LOCKED, message.job_id, queued=True))
    return True


def mark(c: Conversation, turn: Turn) -> None:
    """Write the turn's messages down.

    What follows waits for it only where jobs are merged away: nothing else would lead from them to
    the turn's.
    """
    superseded = tuple(turn.superseded_job_ids)
    ids = tuple(message.message_id for message in turn.ordered)
    c.emit(StartTurn(c.epoch, turn.job_id, turn.call, ids, superseded))
    if superseded or turn.is_yielding:
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


def abandon(c: Conversation, turn: Turn) -> None:
    """Stop waiting for the AI, if it was asked."""
    if c.phase is Phase.CALLING:
        c.emit(AbandonAi(turn.job_id, turn.call))


def yield_to_agent(c: Conversation, now: float) -> None:
    """A person has answered: stop the turn, unless its commit has been issued."""
    head, turn = c.mailbox.first, c.turn
    if c.phase is Phase.DEBOUNCING and head is not None and head.policy.yield_to_agent:
        start(c, now, gathered=True, is_yielding=True)
        _take_places(c)
    elif turn is None or not turn.policy.yield_to_agent:
        return
    elif c.phase is Phase.STARTING:
        turn.is_yielding = True
        _take_places(c)
    elif c.phase is Phase.CALLING:
        abandon(c, turn)
        turn.call = c.next_call(turn.job_id)
        commit(c, turn, "cancelled", reason="agent_replied")


def _take_places(c: Conversation) -> None:
    """Take the turn's places in the context, ahead of the agent's reply."""
    turn = c.turn
    if turn is not None and turn.first_position is None:
        turn.first_position = c.position + 1
        c.position += len(turn.messages)


def on_started(c: Conversation, event: TurnStarted, now: float) -> None:
    """The turn's messages are marked, or could not be. A commit under way will say the same."""
    turn = c.turn
    if turn is None:
        return
    if event.fate is Fate.FENCED:
        fence(c, now)
    elif c.phase is Phase.COMMITTING:
        return
    elif event.fate is Fate.DONE:
        _marked(c, turn)
    elif event.fate is Fate.REFUSED:
        lose(c, now)
    else:
        abandon(c, turn)
        look_again(c, turn, now)


def _marked(c: Conversation, turn: Turn) -> None:
    if c.phase is not Phase.STARTING:
        return
    if turn.is_yielding:
        commit(c, turn, "cancelled", reason="agent_replied")
    else:
        _call_ai(c, turn)


def on_answered(c: Conversation, event: AiAnswered, now: float) -> None:
    """The AI has answered: commit it."""
    turn = c.turn
    if turn is not None:
        commit(c, turn, "completed", answer=event.answer)


def on_ai_failed(c: Conversation, event: AiFailed, now: float) -> None:
    """The AI gave no usable answer: commit that, with the bot's fallback message if it has one."""
    turn = c.turn
    if turn is not None:
        commit(c, turn, "failed", reason=event.reason)


def cancel(c: Conversation, job_id: str, now: float) -> None:
    """Stop the running turn if it is this job's, unless its commit has been issued.

    Messages merged into it are cancelled with it only if that was marked in time: look them up.
    """
    turn = c.turn
    if turn is None or turn.job_id != job_id or c.phase is Phase.COMMITTING:
        return
    abandon(c, turn)
    end(c, now)
    for message in turn.messages:
        if message.job_id == job_id:
            tell_cancelled(c, message, job_id)
        else:
            hold(c, message.message_id, c.epoch)


def tell_cancelled(c: Conversation, message: Message, job_id: str) -> None:
    """Tell a caller that the job which was to answer it was cancelled."""
    c.remember_finished(message.message_id)
    c.emit(Tell(message.message_id, Word.FAILED, job_id, reason="cancelled"))
