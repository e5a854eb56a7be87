"""A turn that is stopped from outside: a person has answered, or its job was cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import isolation, turns
from actors.conversation.commits import commit, end
from actors.conversation.effects import Tell, Word
from actors.conversation.message import Message
from actors.conversation.phase import Phase
from actors.conversation.tenure import abandon, hold

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def yield_to_agent(conversation: Conversation, now: float) -> None:
    """A person has answered: stop the turn, unless its commit has been issued."""
    head, turn = conversation.mailbox.first, conversation.turn
    if conversation.phase is Phase.DEBOUNCING and head is not None and head.policy.yield_to_agent:
        turns.start(conversation, now, gathered=True, is_yielding=True)
        _take_places(conversation)
    elif turn is None or not turn.policy.yield_to_agent:
        return
    elif conversation.phase is Phase.STARTING:
        turn.is_yielding = True
        _take_places(conversation)
    elif conversation.phase is Phase.CALLING:
        abandon(conversation, turn)
        turn.call = conversation.next_call(turn.job_id)
        commit(conversation, turn, "cancelled", reason="agent_replied")


def _take_places(conversation: Conversation) -> None:
    """Take the turn's places in the context, ahead of the agent's reply."""
    turn = conversation.turn
    if turn is not None and turn.first_position is None:
        turn.first_position = conversation.position + 1
        conversation.position += len(turn.messages)


def cancel(conversation: Conversation, job_id: str, now: float) -> None:
    """Stop the running turn if it is this job's, unless its commit has been issued.

    Messages merged into it are cancelled with it only if that was marked in time: look them up.
    """
    turn = conversation.turn
    if turn is None or turn.job_id != job_id or conversation.phase is Phase.COMMITTING:
        return
    abandon(conversation, turn)
    end(conversation, now)
    isolation.end_count(conversation)
    for message in turn.messages:
        if message.job_id == job_id:
            tell_cancelled(conversation, message, job_id)
        else:
            hold(conversation, message.message_id, conversation.epoch)


def tell_cancelled(conversation: Conversation, message: Message, job_id: str) -> None:
    """Tell a caller that the job which was to answer it was cancelled."""
    conversation.remember_finished(message.message_id, message.job_id)
    conversation.emit(Tell(message.message_id, Word.FAILED, job_id, reason="cancelled"))
