"""What becomes of messages: records of turns, and of what ends without one."""

from __future__ import annotations

import msgspec

from storage.records import JobStatus, LeaseKind, Record


class TurnStart(Record, frozen=True):
    """Put messages into the turn of ``job_id``; their own jobs become superseded by it."""

    conversation_id: str
    epoch: int
    job_id: str
    message_ids: list[str]
    """All messages of the turn, in its order."""
    superseded_job_ids: list[str]
    attempts: int = 0
    """Not 0: the attempt that comes after this one, should this one not end. The messages are then
    all of the turn: others that it held have their own jobs back."""
    owner_ttl_seconds: float = 0.0
    """For how long ``owner_until`` is to hold at least."""


class NewAction(Record, frozen=True):
    """One action of an answer. ``status`` is ``pending`` or ``rejected`` (then ``error``)."""

    action_type: str
    data: str
    status: str
    error: str | None = None


class TurnCommit(Record, frozen=True):
    """The end of a turn: what PostgreSQL then holds is what was decided."""

    conversation_id: str
    epoch: int
    job_id: str
    status: JobStatus
    """``COMPLETED``, ``FAILED`` or ``CANCELLED``; the job shows it once the first delivery attempt
    has ended (at once, if nothing is delivered)."""
    reason: str | None
    message_ids: list[str]
    first_position: int
    """The messages take consecutive positions in the context from here on, the reply the next."""
    reply: str | None
    conversation_status: str
    context_start: int | None
    """Set when the context begins anew: only later positions belong to it."""
    owner: str
    lock_id: str
    lease_kind: LeaseKind
    owner_ttl_seconds: float
    bot_id: str
    ai_response: str | None = None
    """JSON object as clients see it."""
    extracted_actions: str | None = None
    intent: str | None = None
    confidence: float | None = None
    model_used: str | None = None
    ai_processing_time_ms: float | None = None
    actions: list[NewAction] = msgspec.field(default_factory=list)
    delivery_body: str | None = None
    """The request body for the platform, sent as it is at every attempt. None: nothing to send."""
    delivering: bool = False
    """Whether its first delivery attempt starts right after the commit (counted here)."""
    attempts: int = 1
    """How often the turn was begun."""
    error: str | None = None
    """Why the turn failed, for a person."""
    began_seconds_ago: float = 0.0
    """When its start was not written by itself: how long ago that was."""


class MessageSettlement(Record, frozen=True):
    """The end of a message without a turn: recorded (``COMPLETED``) or ``REJECTED``."""

    conversation_id: str
    epoch: int
    message_id: str
    job_id: str
    status: JobStatus
    reason: str | None
    position: int | None
    """Its place in the context; None keeps it out."""
