"""What the endpoints for operators answer about conversations."""

from __future__ import annotations

from typing import Any, Literal

from ingress.openapi.answers import Answer, JobAnswer, StorageBackend
from ingress.waiting import WaitingReason

__all__ = [
    "CancelledConversationAnswer",
    "ConversationDetailAnswer",
    "ConversationList",
    "ErasedConversation",
    "ErasedCounts",
    "ResumedConversation",
]


class ConversationItem(Answer):
    """A conversation in the list."""

    conversation_id: str
    last_message_id: str | None
    last_message_timestamp: float | None
    ai_processing: bool
    context_size: int
    status: Literal["active", "with_agent", "ended"]
    waiting_messages: int
    owner: str | None
    bot_id: str | None
    last_accepted_at: float
    undelivered_jobs: int
    waits_for: list[WaitingReason]


class ConversationList(Answer):
    """A page of conversations, newest first."""

    total_conversations: int
    conversations: list[ConversationItem]
    next_cursor: str | None
    storage_backend: StorageBackend


class Lease(Answer):
    """Who holds the lease in Redis."""

    owner: str
    cluster: str
    lock_id: str
    seconds_left: float


class StoredMessageAnswer(Answer):
    """A message of any role."""

    message_id: str | None
    """Null for a reply of the bot."""
    job_id: str
    turn_job_id: str | None
    sender_id: str
    sender_type: str
    content: str
    timestamp: float
    position: int | None
    metadata: Any
    attachments: Any
    accepted_at: float
    processed_at: float | None


class JobDetail(JobAnswer):
    """A job, with its delivery."""

    delivery_status: str | None
    delivery_attempts: int
    delivery_error: str | None
    next_delivery_at: float | None


class StoredAction(Answer):
    """One action of an answer."""

    action_id: str
    job_id: str
    action_type: str
    data: Any
    status: str
    error: str | None
    retry_count: int


class ConversationDetailAnswer(ConversationItem):
    """A conversation with its latest messages, jobs and actions, and why it waits."""

    epoch: int
    cluster: str | None
    running_job_id: str | None
    pending_messages: int
    attempts: int
    lease: Lease | None
    lease_seconds_left: float
    next_retry_at: float | None
    messages: list[StoredMessageAnswer]
    jobs: list[JobDetail]
    actions: list[StoredAction]
    storage_backend: StorageBackend


class CancelledConversationAnswer(Answer):
    """What was freed."""

    success: Literal[True]
    conversation_id: str
    cancelled_job_id: str | None
    lock_released: bool


class ResumedConversation(Answer):
    """The bot has it again."""

    success: Literal[True]
    conversation_id: str
    status: Literal["active"]


class ErasedCounts(Answer):
    """How many rows and states are gone."""

    conversations: int
    messages: int
    jobs: int
    actions: int
    redis_states: int


class ErasedConversation(Answer):
    """All of it is gone."""

    success: Literal[True]
    conversation_id: str
    cancelled_job_id: str | None
    removed: ErasedCounts
