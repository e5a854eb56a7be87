"""What a conversation asks of the world. The runner performs it and answers with an event."""

from __future__ import annotations

from enum import StrEnum

from actors.conversation.events import Answer, LeaseKind
from actors.conversation.message import Line, Message
from actors.conversation.turn import Newer
from actors.conversation.value import value


class Word(StrEnum):
    """What a caller is told about its message."""

    STARTED = "started"
    LOCKED = "locked"
    COMPLETED = "completed"
    FAILED = "failed"
    RESTART_NEEDED = "restart_needed"
    RECORDED = "recorded"
    GONE = "gone"


@value
class AcquireLease:
    """Ask for the lease."""

    attempt: int


@value
class ReleaseLease:
    """Give the lease back, if it is still the one of ``lock_id``. No answer."""

    lock_id: str
    epoch: int
    kind: LeaseKind


@value
class Claim:
    """Raise the epoch in the database, from ``epoch``, and read what the owner needs."""

    attempt: int
    epoch: int
    lock_id: str
    kind: LeaseKind
    cached_position: int | None


@value
class FetchPending:
    """Read the messages that are pending in the database."""

    attempt: int


@value
class HandOver:
    """Tell the holder of the lease about these messages. No answer.

    ``owner`` None: the lease was given back, and whichever host the conversation belongs to now is
    told that there is work.
    """

    owner: str | None
    message_ids: tuple[str, ...]


@value
class StartTurn:
    """Mark the turn's messages in the database, and merge their jobs into its job."""

    epoch: int
    job_id: str
    call: int
    message_ids: tuple[str, ...]
    superseded_job_ids: tuple[str, ...]
    attempts: int = 0
    """Not 0: it is tried alone, and this is the number of the next attempt, if this one does not
    end. Other messages that it held have their own jobs back."""
    is_awaited: bool = True
    """Whether anything waits for it: else it may go a little later, or be left to the commit."""
    is_exclusive: bool = False
    """The host is to begin it only when no other such turn runs there: a host that then dies has
    died of this one."""


@value
class CallAi:
    """Ask the AI."""

    job_id: str
    call: int
    messages: tuple[Message, ...]
    context: tuple[Line, ...]


@value
class AbandonAi:
    """Stop waiting for the AI. No answer."""

    job_id: str
    call: int


@value
class CommitTurn:
    """Write the end of a turn."""

    epoch: int
    job_id: str
    call: int
    lock_id: str
    kind: LeaseKind
    messages: tuple[Message, ...]
    first_position: int
    status: str
    """completed, failed or cancelled."""
    reason: str | None
    reply: str | None
    answer: Answer | None
    conversation_status: str
    context_start: int | None
    delivering: bool
    attempts: int = 1
    """How many owners have begun the turn."""
    error: str | None = None
    """Why it failed, for a person."""


@value
class SettleMessage:
    """End a message without a turn: ``completed`` (recorded, ``reason``) or ``rejected``."""

    epoch: int
    message: Message
    status: str
    reason: str | None
    position: int | None


@value
class CountDelivery:
    """Count a delivery attempt in the database, before it is made."""

    epoch: int
    job_id: str
    attempts: int = 0
    """How many were counted before."""


@value
class Deliver:
    """Try to deliver a committed answer, once."""

    epoch: int
    job_id: str
    bot_id: str
    body: str
    attempts: int
    """Which attempt this is, from 1."""
    action_count: int


@value
class RecordDelivery:
    """Write down how a delivery attempt ended."""

    epoch: int
    job_id: str
    result: str
    actions_executed: int
    retry_at: float
    error: str | None


@value
class Tell:
    """Tell whoever waits for the message. No answer."""

    message_id: str
    word: Word
    job_id: str | None = None
    queued: bool = False
    consolidated_messages: int = 1
    reason: str | None = None
    result: str | None = None
    pancake_status: str | None = None
    actions_executed: int = 0
    newer: tuple[Newer, ...] = ()
    restart_job_id: str | None = None


@value
class SaveState:
    """Refresh the conversation's state in Redis. No answer."""


@value
class Passivate:
    """Forget the conversation; nothing of it is only in memory. No answer."""


Effect = (
    AcquireLease
    | ReleaseLease
    | Claim
    | FetchPending
    | HandOver
    | StartTurn
    | CallAi
    | AbandonAi
    | CommitTurn
    | SettleMessage
    | CountDelivery
    | Deliver
    | RecordDelivery
    | Tell
    | SaveState
    | Passivate
)
