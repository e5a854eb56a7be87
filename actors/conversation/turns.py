"""A turn from its first message until its end is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import isolation
from actors.conversation.commits import commit, look_again
from actors.conversation.effects import (
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
    LeaseKind,
    TurnStarted,
)
from actors.conversation.message import Message
from actors.conversation.phase import Phase
from actors.conversation.tenure import abandon, fence, lose
from actors.conversation.turn import Turn

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def note_arrival(conversation: Conversation, now: float) -> None:
    """Note when the burst that waits began, and when it last grew."""
    if not conversation.mailbox:
        conversation.first_arrival = now
        conversation.queued_during_turn = False
    conversation.last_arrival = now


def begin(conversation: Conversation, now: float) -> None:
    """Start the next turn, or wait for more of the burst first."""
    head = conversation.mailbox.first
    if head is None:
        return
    if isolation.is_needed(conversation):
        start(conversation, now, gathered=False)
        return
    queued = conversation.queued_during_turn and head.policy.is_queue
    if head.policy.debounce_seconds > 0 and head.turn_job_id is None and not queued:
        conversation.phase = Phase.DEBOUNCING
        conversation.emit(Tell(head.message_id, Word.STARTED, head.job_id))
        untold, conversation.untold = conversation.untold, []
        for message in untold:
            if message is not head:
                _tell_behind(conversation, message)
        gather(conversation, now)
    else:
        start(conversation, now, gathered=False)


def gather(conversation: Conversation, now: float) -> None:
    """Wait until the burst has paused for the debounce time, or has lasted for its maximum."""
    head = conversation.mailbox.first
    if head is None:
        conversation.phase = Phase.IDLE
        return
    policy = head.policy
    longest = max(policy.debounce_seconds, policy.debounce_max_seconds)
    conversation.wake_at = min(
        conversation.last_arrival + policy.debounce_seconds, conversation.first_arrival + longest
    )
    group = conversation.mailbox.turn_of(head.message_id, gathered=True)
    if now >= conversation.wake_at or len(group) >= conversation.limits.turn_messages:
        start(conversation, now, gathered=True)


def start(
    conversation: Conversation, now: float, *, gathered: bool, is_yielding: bool = False
) -> None:
    """Put the next messages into a turn."""
    is_alone = isolation.is_needed(conversation)
    if is_alone:
        messages = [isolation.take_head(conversation)]
    else:
        messages = conversation.mailbox.take_turn(gathered=gathered)
    job_id = messages[0].turn_job_id or messages[0].job_id
    turn = conversation.turn = Turn(
        job_id,
        messages,
        now,
        conversation.next_call(job_id),
        is_yielding=is_yielding,
        most_newer=conversation.limits.newer_messages,
        is_alone=is_alone,
        is_given_up=isolation.is_over(conversation),
    )
    conversation.first_arrival = now
    first, *others = messages
    count = len(messages)
    conversation.emit(
        Tell(first.message_id, Word.STARTED, turn.job_id, consolidated_messages=count)
    )
    for message in others:
        conversation.emit(
            Tell(
                message.message_id,
                Word.LOCKED,
                turn.job_id,
                queued=True,
                consolidated_messages=count,
            )
        )
    untold, conversation.untold = conversation.untold, []
    for message in untold:
        if _tell_behind(conversation, message):
            turn.note_newer(message, message.job_id)
    mark(conversation, turn)


def _tell_behind(conversation: Conversation, message: Message) -> bool:
    """Tell a caller that its message waits behind the turn; False where it was decided."""
    if conversation.mailbox.find(message.message_id) is not None:
        tell_waiting(conversation, message.message_id)
    elif conversation.knows(message.message_id):
        return False
    else:
        conversation.emit(Tell(message.message_id, Word.LOCKED, message.job_id, queued=True))
    return True


def mark(conversation: Conversation, turn: Turn) -> None:
    """Write the turn's messages down.

    What follows waits for it only where jobs are merged away, since nothing else would lead from
    them to the turn's, where the attempt is counted by it, and where the row may not keep those
    away any more who have no Redis: it does so again once this is written.
    """
    superseded = tuple(turn.superseded_job_ids)
    ids = tuple(message.message_id for message in turn.ordered)
    is_awaited = bool(
        superseded or turn.is_yielding or turn.is_alone or _is_unguarded(conversation, turn)
    )
    conversation.emit(
        StartTurn(
            conversation.epoch,
            turn.job_id,
            turn.call,
            ids,
            superseded,
            attempts=isolation.next_attempt(conversation, turn),
            is_awaited=is_awaited,
            is_exclusive=isolation.is_exclusive(conversation, turn),
        )
    )
    if is_awaited:
        conversation.phase = Phase.STARTING
    else:
        _call_ai(conversation, turn)


def _is_unguarded(conversation: Conversation, turn: Turn) -> bool:
    is_by_redis = conversation.lease_kind is LeaseKind.REDIS
    return is_by_redis and not turn.restarts and turn.started_at >= conversation.guarded_until


def _call_ai(conversation: Conversation, turn: Turn) -> None:
    conversation.phase = Phase.CALLING
    count = turn.policy.context_messages
    context = turn.own_context
    if context is None:
        context = conversation.context.latest(count)
    conversation.emit(CallAi(turn.job_id, turn.call, tuple(turn.ordered), context))
    conversation.emit(SaveState())


def tell_waiting(conversation: Conversation, message_id: str) -> None:
    """Tell a caller that its message waits, and which job will answer it."""
    gathering = conversation.phase is Phase.DEBOUNCING
    group = conversation.mailbox.turn_of(message_id, gathered=gathering)
    job_id = group[0].turn_job_id or group[0].job_id
    is_gathered = gathering and group[0] is conversation.mailbox.first
    if is_gathered and group[0].message_id == message_id:
        conversation.emit(Tell(message_id, Word.STARTED, job_id, consolidated_messages=len(group)))
    else:
        conversation.emit(
            Tell(message_id, Word.LOCKED, job_id, queued=True, consolidated_messages=len(group))
        )


def on_started(conversation: Conversation, event: TurnStarted, now: float) -> None:
    """The turn's messages are marked, or could not be. A commit under way will say the same."""
    turn = conversation.turn
    if turn is None:
        return
    if event.fate is Fate.FENCED:
        fence(conversation, now)
    elif conversation.phase is Phase.COMMITTING:
        return
    elif event.fate is Fate.DONE:
        _marked(conversation, turn)
    elif event.fate is Fate.REFUSED and turn.is_alone:
        commit(conversation, turn, "failed", reason="ai_error", error="it cannot be marked")
    elif event.fate is Fate.REFUSED:
        lose(conversation, now)
    else:
        abandon(conversation, turn)
        look_again(conversation, turn, now)


def _marked(conversation: Conversation, turn: Turn) -> None:
    if conversation.phase is not Phase.STARTING:
        return
    if turn.is_yielding:
        commit(conversation, turn, "cancelled", reason="agent_replied")
    elif turn.is_given_up:
        error = isolation.verdict(conversation)
        commit(conversation, turn, "failed", reason="ai_error", error=error)
    else:
        _call_ai(conversation, turn)


def on_answered(conversation: Conversation, event: AiAnswered, now: float) -> None:
    """The AI has answered: commit it."""
    turn = conversation.turn
    if turn is not None:
        commit(conversation, turn, "completed", answer=event.answer)


def on_ai_failed(conversation: Conversation, event: AiFailed, now: float) -> None:
    """The AI gave no usable answer: commit that, with the bot's fallback message if it has one."""
    turn = conversation.turn
    if turn is not None:
        commit(conversation, turn, "failed", reason=event.reason, error=event.error)
