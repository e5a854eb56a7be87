"""Values that cross between processes and the database, encoded as MessagePack.

Free-form JSON (``metadata``, ``attachments``, answers, action data) travels as JSON *text*: it is
encoded once, where it enters, and handed through to PostgreSQL's ``jsonb`` as it is.
Times without a unit in their name are Unix seconds on the database's clock.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Base of all records: immutable, encoded as a positional array (new fields go last)."""


class JobStatus(StrEnum):
    """State of a job; ``QUEUED`` and ``PROCESSING`` are the ones that are not final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        """Whether the job will never change again."""
        return self not in (JobStatus.QUEUED, JobStatus.PROCESSING)


class LeaseKind(StrEnum):
    """What guards an ownership: a key in Redis, or ``owner_until`` in the conversation's row."""

    REDIS = "redis"
    DATABASE = "database"


class AcceptOutcome(StrEnum):
    """What became of a message that was handed to the writer."""

    ACCEPTED = "accepted"
    """Stored now; route it with its content."""
    REVIVED = "revived"
    """It had been rejected, and is pending again under the new job id."""
    DUPLICATE = "duplicate"
    """It was stored before; ``job_id`` and ``job_status`` are those of the job that answers it."""
    REFUSED = "refused"
    """This row cannot be stored (``error`` says why); its neighbours were."""


class FencedOutcome(StrEnum):
    """What became of an operation that speaks for an owner."""

    DONE = "done"
    FENCED = "fenced"
    """The epoch has moved on: another owner has claimed the conversation. Nothing was changed."""
    CANCELLED = "cancelled"
    """The job was cancelled meanwhile. Nothing was changed."""
    STALE = "stale"
    """Some of the messages named are not pending any more. Nothing was changed; read again."""
    REFUSED = "refused"
    """This row cannot be stored (a value PostgreSQL does not take); its neighbours were."""


class NewMessage(Record, frozen=True):
    """A message to accept. ``message_id`` is None when ``digest`` is its identity."""

    conversation_id: str
    message_id: str | None
    job_id: str
    sender_id: str
    sender_type: str
    content: str
    timestamp: float | None
    """None: when it is accepted, by the database's clock."""
    bot_id: str
    metadata: str | None = None
    attachments: str | None = None
    digest: str | None = None
    """Identity of a message that brought none: holds while its job is not final and for
    ``DIGEST_WINDOW_SECONDS`` after it was accepted."""
    parts: list[str] | None = None
    """The parts of ``content`` (joined by newlines) that are dropped where a pending message of
    the conversation holds them already; all held: a duplicate of that message."""
    context: str | None = None
    """JSON list of ``{"role", "content"}`` to use in place of the stored context."""


class Accepted(Record, frozen=True):
    """Answer to a ``NewMessage``."""

    outcome: AcceptOutcome
    message_id: str
    job_id: str
    job_status: JobStatus
    epoch: int
    seq: int
    accepted_at: float
    content: str
    """What was stored (differs from what was sent where parts were held already)."""
    previous_seq: int = 0
    """``seq`` of the message of the conversation that was accepted before this one; 0: none."""
    unfinished_jobs: int = 0
    """How many other pending messages the conversation had when this one was stored."""
    conversation_status: str = "active"
    error: str | None = None


class StoredMessage(Record, frozen=True):
    """A pending message as the database holds it."""

    message_id: str
    job_id: str
    seq: int
    sender_id: str
    sender_type: str
    content: str
    timestamp: float
    accepted_at: float
    bot_id: str
    metadata: str | None = None
    attachments: str | None = None
    context: str | None = None
    turn_job_id: str | None = None
    """Job of the turn that it was given to, by an owner that did not finish it."""
    previous_seq: int = 0
    """As in ``Accepted``; known only of a message that comes from its acceptance."""


class ContextEntry(Record, frozen=True):
    """One line of what was said before."""

    role: str
    content: str


class PendingPoke(Record, frozen=True):
    """Work that nobody seems to do: what the sweeper routes again."""

    conversation_id: str
    epoch: int
    message_id: str | None
    """None: a delivery is due."""
    job_id: str | None = None
    owner: str | None = None
