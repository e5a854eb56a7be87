"""A user's message while a turn is running: rejected, taken into the turn, or left to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import settling, turns
from actors.conversation.effects import Tell, Word
from actors.conversation.message import Message
from actors.conversation.phase import Phase
from actors.conversation.policy import BusyPolicy
from actors.conversation.tenure import abandon
from actors.conversation.turn import Newer, Turn

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def receive_during_turn(conversation: Conversation, message: Message, now: float) -> None:
    """A user's message while a turn runs: what becomes of it is the bot's policy."""
    turn = conversation.turn
    assert turn is not None  # noqa: S101 -- the phase says so
    policy = message.policy.busy_policy
    if policy is BusyPolicy.REJECT and message.turn_job_id is None:
        turn.note_newer(message, None)
        settling.reject(conversation, message)
    elif policy is BusyPolicy.RESTART and _may_restart(conversation, turn, message, now):
        _restart(conversation, turn, message)
    else:
        _queue(conversation, turn, message, now)


def _queue(conversation: Conversation, turn: Turn, message: Message, now: float) -> None:
    turns.note_arrival(conversation, now)
    conversation.queued_during_turn = True
    if conversation.mailbox.put(message):
        turns.tell_waiting(conversation, message.message_id)
        group = conversation.mailbox.turn_of(message.message_id, gathered=False)
        job_id = group[0].turn_job_id or group[0].job_id
    else:
        job_id = message.job_id
        conversation.emit(Tell(message.message_id, Word.LOCKED, job_id, queued=True))
    turn.note_newer(message, job_id)


def _may_restart(conversation: Conversation, turn: Turn, message: Message, now: float) -> bool:
    limits = conversation.limits
    characters = sum(m.characters for m in turn.messages) + message.characters
    return (
        conversation.phase in (Phase.STARTING, Phase.CALLING)
        and not (turn.is_yielding or turn.is_alone)
        and not (conversation.mailbox or conversation.mailbox.has_more)
        and conversation.fetching is None
        and message.turn_job_id is None
        and message.policy.bot_id == turn.policy.bot_id
        and turn.restarts < limits.restarts
        and now - turn.started_at < limits.restart_window_seconds
        and len(turn.messages) < limits.turn_messages
        and characters <= limits.turn_characters
    )


def _restart(conversation: Conversation, turn: Turn, message: Message) -> None:
    """Abandon the AI call and start the same job again with this message too."""
    abandon(conversation, turn)
    newer = Newer(message.message_id, message.timestamp, turn.job_id)
    for earlier in turn.messages:
        conversation.emit(
            Tell(
                earlier.message_id,
                Word.RESTART_NEEDED,
                turn.job_id,
                newer=(newer,),
                restart_job_id=turn.job_id,
            )
        )
    turn.messages.append(message)
    turn.restarts += 1
    turn.call = conversation.next_call(turn.job_id)
    count = len(turn.messages)
    conversation.emit(
        Tell(message.message_id, Word.LOCKED, turn.job_id, queued=True, consolidated_messages=count)
    )
    turns.mark(conversation, turn)
