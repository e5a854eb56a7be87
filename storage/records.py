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


class StoredDelivery(Record, frozen=True):
    """A committed answer that has not reached the platform yet."""

    job_id: str
    bot_id: str
    body: str
    attempts: int
    retry_in_seconds: float
    message_ids: list[str]
    action_count: int


class ClaimRequest(Record, frozen=True):
    """Ask to own a conversation: its epoch goes up by one if it is still ``epoch``."""

    conversation_id: str
    epoch: int
    owner: str
    cluster: str
    lock_id: str
    lease_kind: LeaseKind
    owner_ttl_seconds: float
    context_limit: int
    message_limit: int
    cached_position: int | None = None
    """Position of the context that the caller has from Redis; if it is current, none is sent."""
    take_over_from: str | None = None
    """An owner known to be dead: what it holds by the database is not waited for."""


class ClaimOutcome(StrEnum):
    """What became of a claim."""

    CLAIMED = "claimed"
    STALE = "stale"
    """The epoch is not the one expected; ``epoch`` is the one that holds."""
    REFUSED = "refused"
    """``owner`` of ``cluster`` holds it by the database for ``retry_in_seconds`` more."""
    MISSING = "missing"
    """There is no such conversation (erased, or never stored)."""


class Claim(Record, frozen=True):
    """Answer to a ``ClaimRequest``. Beyond ``epoch`` the fields hold only when it was claimed."""

    outcome: ClaimOutcome
    epoch: int = 0
    owner: str | None = None
    cluster: str | None = None
    retry_in_seconds: float = 0.0
    status: str = "active"
    position: int = 0
    last_activity_at: float = 0.0
    context: list[ContextEntry] | None = None
    """Oldest first. None when ``cached_position`` was current."""
    messages: list[StoredMessage] = []
    """Pending messages by order of acceptance, at most ``message_limit``."""
    outbox: list[StoredDelivery] = []
    """Deliveries not done yet, in order of their commits."""
    has_more: bool = False
    """Whether more messages are pending than were sent."""
    attempts: int = 0
    """Which attempt at the first pending message this claim begins, as far as is known; 0: nothing
    is pending. No turn of the conversation was committed since the first of them."""
    last_seq: int = 0
    """``seq`` of the message that was accepted last; all before it that are pending are here."""


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
    actions: list[NewAction] = []
    delivery_body: str | None = None
    """The request body for the platform, sent as it is at every attempt. None: nothing to send."""
    delivering: bool = False
    """Whether its first delivery attempt starts right after the commit (counted here)."""
    attempts: int = 1
    """How often the turn was begun."""
    error: str | None = None
    """Why the turn failed, for a person."""


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


class DeliveryStart(Record, frozen=True):
    """Count a delivery attempt before it is made."""

    conversation_id: str
    epoch: int
    job_id: str


class DeliveryResult(StrEnum):
    """How a delivery attempt ended."""

    SENT = "sent"
    RETRY = "retry"
    DEAD = "dead"


class DeliveryRecord(Record, frozen=True):
    """What came of a delivery attempt. ``SENT`` is recorded whoever the owner is: it is a fact."""

    conversation_id: str
    epoch: int
    job_id: str
    result: DeliveryResult
    actions_executed: int = 0
    retry_in_seconds: float = 0.0
    error: str | None = None


class OwnerRenewal(Record, frozen=True):
    """Extend ``owner_until`` of a conversation; 0 seconds gives it up."""

    conversation_id: str
    epoch: int
    owner: str
    lease_kind: LeaseKind
    owner_ttl_seconds: float


class PendingPoke(Record, frozen=True):
    """Work that nobody seems to do: what the sweeper routes again."""

    conversation_id: str
    epoch: int
    message_id: str | None
    """None: a delivery is due."""
    job_id: str | None = None
    owner: str | None = None
