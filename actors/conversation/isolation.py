"""What happens to a message whose owners go away in the middle of it, again and again.

The database counts attempts before they are made: first the claims of a conversation that has
work, and from the third on, where something seems wrong with its first message, the turns. Such a
turn is *alone*: it holds one message, so that its neighbours are not given up with it; it begins
after a pause, so that others on its host get something done; and its start is written down before
the AI is asked. What only passes time between turns (a hand-over, a lease that is lost, a database
that is away) is then not counted; a lone turn that is cut off in its middle is, whatever the cause,
since nobody can tell why its owner went silent. A committed turn ends the count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation.message import Message

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation
    from actors.conversation.turn import Turn


def count(conversation: Conversation, attempts: int, now: float) -> None:
    """Note which attempt this is, and how long to wait before it."""
    conversation.turn_attempts = attempts
    conversation.not_before = 0.0
    if is_needed(conversation) and not is_over(conversation):
        limits = conversation.limits
        earlier = attempts - limits.isolated_attempts
        conversation.not_before = now + limits.attempt_pause_seconds * 2**earlier


def end_count(conversation: Conversation) -> None:
    """What comes next is attempted for the first time."""
    conversation.turn_attempts = 0
    conversation.not_before = 0.0


def is_needed(conversation: Conversation) -> bool:
    """Whether the next turn is to be alone."""
    return conversation.turn_attempts >= conversation.limits.isolated_attempts


def is_over(conversation: Conversation) -> bool:
    """Whether the next turn's message has had all its attempts."""
    return conversation.turn_attempts > conversation.limits.attempts


def take_head(conversation: Conversation) -> Message:
    """Take out the first message; those that shared a turn with it are on their own."""
    head = conversation.mailbox.take_first()
    if head.turn_job_id is not None:
        conversation.mailbox.split(head.turn_job_id)
    return head


def next_attempt(conversation: Conversation, turn: Turn) -> int:
    """Return the number to write down before a turn is tried; 0: the claim has counted it."""
    if not turn.is_alone:
        return 0
    return conversation.turn_attempts + (not turn.is_given_up)


def is_exclusive(conversation: Conversation, turn: Turn) -> bool:
    """Whether it has been tried alone before, so that it should be without others like it now."""
    tried = conversation.turn_attempts > conversation.limits.isolated_attempts
    return turn.is_alone and tried and not turn.is_given_up


def verdict(conversation: Conversation) -> str:
    """Say why the message is given up."""
    return f"its owner went away {conversation.turn_attempts - 1} times while answering it"
