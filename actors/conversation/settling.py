"""The end of a message that no turn answers: recorded or rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import isolation
from actors.conversation.effects import SaveState, SettleMessage, Tell, Word
from actors.conversation.events import Fate, MessageSettled
from actors.conversation.message import Message
from actors.conversation.tenure import fence

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def record(conversation: Conversation, message: Message, reason: str) -> None:
    """End a message as recorded; what was said becomes part of the context."""
    position = None
    if message.content:
        conversation.position += 1
        position = conversation.position
        conversation.say(message.line)
    conversation.last_activity_at = max(conversation.last_activity_at, message.accepted_at)
    _settle(conversation, message, "completed", reason, position)


def reject(conversation: Conversation, message: Message) -> None:
    """End a message as rejected; it may be sent again."""
    _settle(conversation, message, "rejected", None, None)


def _settle(
    conversation: Conversation,
    message: Message,
    status: str,
    reason: str | None,
    position: int | None,
) -> None:
    conversation.settling[message.message_id] = (message, status, reason)
    conversation.emit(SettleMessage(conversation.epoch, message, status, reason, position))


def record_unanswerable(conversation: Conversation) -> None:
    """Record the waiting messages that are not to be answered.

    That is so where the bot is disabled, or a person has the conversation.
    """
    while (message := conversation.mailbox.first) is not None:
        if not message.policy.enabled:
            record(conversation, conversation.mailbox.take_first(), "bot_disabled")
        elif _is_with_agent(conversation, message):
            record(conversation, conversation.mailbox.take_first(), "with_agent")
        else:
            return


def _is_with_agent(conversation: Conversation, message: Message) -> bool:
    if conversation.status != "with_agent" or not message.policy.silent_after_transfer:
        return False
    timeout = message.policy.handoff_timeout_seconds
    return not (timeout > 0 and message.accepted_at - conversation.last_activity_at > timeout)


def on_settled(conversation: Conversation, event: MessageSettled, now: float) -> None:
    """The end of a message is written down: tell its caller."""
    if event.fate is Fate.FENCED:
        fence(conversation, now)
        return
    message, status, reason = conversation.settling.pop(event.message_id)
    conversation.idle_since = now
    if reason in ("bot_disabled", "with_agent"):  # it had its turn; the next is a first attempt
        isolation.end_count(conversation)
    if event.fate is not Fate.DONE:
        conversation.emit(Tell(message.message_id, Word.GONE))
    elif status == "rejected":
        conversation.remember_finished(message.job_id)
        conversation.emit(Tell(message.message_id, Word.LOCKED, None, queued=False))
    else:
        conversation.remember_finished(message.message_id, message.job_id)
        conversation.emit(Tell(message.message_id, Word.RECORDED, message.job_id, reason=reason))
    conversation.emit(SaveState())
