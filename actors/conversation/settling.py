"""The end of a message that no turn answers: recorded or rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.effects import SaveState, SettleMessage, Tell, Word
from actors.conversation.events import Fate, MessageSettled
from actors.conversation.message import Message
from actors.conversation.tenure import fence

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation


def record(c: Conversation, message: Message, reason: str) -> None:
    """End a message as recorded; what was said becomes part of the context."""
    position = None
    if message.content:
        c.position += 1
        position = c.position
        c.say(message.line)
    c.last_activity_at = max(c.last_activity_at, message.accepted_at)
    _settle(c, message, "completed", reason, position)


def reject(c: Conversation, message: Message) -> None:
    """End a message as rejected; it may be sent again."""
    _settle(c, message, "rejected", None, None)


def _settle(
    c: Conversation, message: Message, status: str, reason: str | None, position: int | None
) -> None:
    c.settling[message.message_id] = (message, status, reason)
    c.emit(SettleMessage(c.epoch, message, status, reason, position))


def record_unanswerable(c: Conversation) -> None:
    """Record the waiting messages that are not to be answered.

    That is so where the bot is disabled, or a person has the conversation.
    """
    while (message := c.mailbox.first) is not None:
        if not message.policy.enabled:
            record(c, c.mailbox.take_first(), "bot_disabled")
        elif _is_with_agent(c, message):
            record(c, c.mailbox.take_first(), "with_agent")
        else:
            return


def _is_with_agent(c: Conversation, message: Message) -> bool:
    if c.status != "with_agent" or not message.policy.silent_after_transfer:
        return False
    timeout = message.policy.handoff_timeout_seconds
    return not (timeout > 0 and message.accepted_at - c.last_activity_at > timeout)


def on_settled(c: Conversation, event: MessageSettled, now: float) -> None:
    """The end of a message is written down: tell its caller."""
    if event.fate is Fate.FENCED:
        fence(c, now)
        return
    message, status, reason = c.settling.pop(event.message_id)
    c.idle_since = now
    if event.fate is not Fate.DONE:
        c.emit(Tell(message.message_id, Word.GONE))
    elif status == "rejected":
        c.remember_finished(message.job_id)
        c.emit(Tell(message.message_id, Word.LOCKED, None, queued=False))
    else:
        c.remember_finished(message.message_id)
        c.emit(Tell(message.message_id, Word.RECORDED, message.job_id, reason=reason))
    c.emit(SaveState())
