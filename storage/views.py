"""What reads return. JSON values come as text, times as Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import JobStatus

__all__ = [
    "ActionView",
    "ConversationDetail",
    "ConversationPage",
    "ConversationStatistics",
    "ConversationView",
    "JobView",
    "MessageView",
    "PostgresStatistics",
    "StuckConversation",
]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as clients see it."""

    job_id: str
    conversation_id: str
    bot_id: str
    status: JobStatus
    reason: str | None
    superseded_by: str | None
    message_ids: list[str]
    consolidated_messages: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    lock_id: str | None
    result: str | None
    """JSON object ``{"ai_response", "extracted_actions", "pancake_result"}``; None: there is no
    answer (yet)."""
    delivery_status: str | None
    delivery_attempts: int
    delivery_error: str | None
    next_delivery_at: float | None
    retried_by: str | None = None
    """The job that tries again what this one, a dead letter, has failed to do."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message of any role, answered or not."""

    message_id: str | None
    """None for a reply of the bot."""
    job_id: str
    turn_job_id: str | None
    seq: int
    sender_id: str
    sender_type: str
    bot_id: str
    content: str
    timestamp: float
    position: int | None
    metadata: str | None
    attachments: str | None
    accepted_at: float
    processed_at: float | None


@dataclass(frozen=True, slots=True)
class ActionView:
    """One action of an answer."""

    action_id: str
    job_id: str
    ordinal: int
    action_type: str
    data: str
    status: str
    error: str | None
    retry_count: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation in the admin's list."""

    conversation_id: str
    bot_id: str | None
    status: str
    epoch: int
    owner: str | None
    """None when no owner is alive; so are ``cluster`` and ``lease_kind``."""
    cluster: str | None
    lease_kind: str | None
    owner_seconds_left: float
    running_job_id: str | None
    ai_processing: bool
    context_size: int
    total_messages: int
    last_message_id: str | None
    last_message_timestamp: float | None
    last_accepted_at: float
    last_settled_at: float | None
    created_at: float
    waiting_messages: int
    """Pending messages that are not in the running turn."""
    pending_messages: int
    attempts: int = 0
    """How many owners have begun to answer the first of them, the present one included; above 2 it
    is tried alone."""
    undelivered_jobs: int = 0
    """Answers that the platform has not taken yet."""


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Some conversations, newest first."""

    total_conversations: int
    conversations: list[ConversationView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ConversationDetail:
    """Everything about a conversation, each list newest first."""

    conversation: ConversationView
    next_retry_at: float | None
    messages: list[MessageView]
    jobs: list[JobView]
    actions: list[ActionView]


@dataclass(frozen=True, slots=True)
class ConversationStatistics:
    """How many conversations there are; ``recent`` in the last hour, ``old`` idle for a day."""

    total: int
    recent: int
    old: int
    active_processing: int


@dataclass(frozen=True, slots=True)
class StuckConversation:
    """A conversation that does not get on, and why: ``turn_too_long`` or ``no_owner``."""

    conversation_id: str
    reason: str
    owner: str | None
    job_id: str | None
    stuck_seconds: float
    waiting_messages: int


@dataclass(frozen=True, slots=True)
class PostgresStatistics:
    """The database as an operator wants to see it."""

    database_bytes: int
    connections: int
    max_connections: int
    transactions_committed: int
    transactions_rolled_back: int
    deadlocks: int
    server_version: str
    pool_open: int
    pool_idle: int
    pool_max: int
