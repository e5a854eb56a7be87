"""What a host tells an ingress about a message."""

from __future__ import annotations

from enum import StrEnum

from storage.records import Record


class OutcomeKind(StrEnum):
    """What has been decided about a message so far."""

    STARTED = "started"
    """It is in the turn of ``job_id``, which has just started or is running; an answer follows."""
    LOCKED = "locked"
    """A turn of the conversation is running (or gathering a burst); ``job_id`` will answer it."""
    COMPLETED = "completed"
    FAILED = "failed"
    RESTART_NEEDED = "restart_needed"
    RECORDED = "recorded"
    """Stored, and not to be answered; ``reason`` says why."""
    GONE = "gone"
    """Not pending any more: the database says what became of it."""


class NewerMessage(Record, frozen=True):
    """A message that came while the turn was running."""

    message_id: str
    timestamp: float


class Outcome(Record, frozen=True):
    """One word of a host about one message."""

    conversation_id: str
    message_id: str
    kind: OutcomeKind
    job_id: str | None = None
    """None only for a rejected message (``LOCKED`` and not ``queued``)."""
    lock_id: str | None = None
    queued: bool = False
    consolidated_messages: int = 1
    """How many messages the job holds so far."""
    reason: str | None = None
    result: str | None = None
    """JSON object ``{"ai_response", "extracted_actions", "pancake_result"}``; None: none."""
    newer_messages: list[NewerMessage] = []
    restart_job_id: str | None = None
    elsewhere_seconds: float = 0.0
    """How long the AI and the platform took for the job so far."""
    storage_backend: str = "Redis"
    distributed_lock_used: bool = True
    """Whether a lease in Redis guarded the turn."""
