"""What the endpoints for messages and jobs answer. Further fields may come at any time."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Answer",
    "CancelledJobAnswer",
    "EnhancedMessageResponse",
    "ErrorAnswer",
    "JobAnswer",
    "JobEvent",
    "JobStatusName",
    "StorageBackend",
    "TurnResult",
]

JobStatusName = Literal[
    "queued", "processing", "completed", "failed", "cancelled", "rejected", "superseded"
]
StorageBackend = Literal["Redis", "Memory"]


class Answer(BaseModel):
    """Base of the answers. Times are Unix seconds."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class AiResponse(Answer):
    """What the AI service said."""

    response_text: str
    intent: str | None
    confidence: float | None
    entities: Any
    processing_time_ms: float | None
    model_used: str | None


class Action(Answer):
    """One action of an answer; its data depend on the type."""

    type: str
    data: Any


class PancakeResult(Answer):
    """What became of the delivery to the platform."""

    status: Literal["success", "pending", "failed"]
    actions_executed: int


class TurnResult(Answer):
    """The answer of a turn."""

    ai_response: AiResponse | None
    extracted_actions: list[Action] | None
    pancake_result: PancakeResult | None


class _Result(Answer):
    message_id: str
    storage_backend: StorageBackend
    """What guards turns now: leases in Redis, or in the database alone."""
    job_id: str | None
    duplicate: bool
    """Whether the same message had come before."""


class Completed(_Result, TurnResult):
    """Answered."""

    status: Literal["completed"]
    distributed_lock_used: bool
    lock_id: str | None
    consolidated_messages: int


class Locked(_Result):
    """A turn of the conversation is running; ``job_id`` will answer the message, if ``queued``."""

    status: Literal["locked"]
    reason: Literal["processing_in_progress"]
    queued: bool


class NewerMessage(Answer):
    """A message that came while the turn was running."""

    message_id: str
    timestamp: float


class RestartNeeded(_Result):
    """Newer messages came; ``restart_job_id`` answers them."""

    status: Literal["restart_needed"]
    newer_messages: list[NewerMessage]
    current_result: TurnResult | None
    restart_job_id: str | None
    lock_id: str | None
    consolidated_messages: int


class Recorded(_Result):
    """Stored, and not to be answered."""

    status: Literal["recorded"]
    reason: str | None


class Processing(_Result):
    """The wait is over, the turn is not: ask for the job."""

    status: Literal["processing"]


class Failed(_Result):
    """There will be no answer."""

    status: Literal["failed"]
    reason: str | None
    distributed_lock_used: bool
    lock_id: str | None
    consolidated_messages: int


class EnhancedMessageResponse(Answer):
    """What became of a message."""

    success: bool
    """False for ``failed``."""
    result: Completed | Locked | RestartNeeded | Recorded | Processing | Failed = Field(
        discriminator="status"
    )
    timestamp: float
    processing_time_ms: float


class JobAnswer(Answer):
    """A job."""

    job_id: str = Field(json_schema_extra={"format": "uuid"})
    conversation_id: str
    status: JobStatusName
    reason: str | None
    superseded_by: str | None
    """The job that answers in its place."""
    retried_by: str | None = None
    """The job that tries this dead letter again, if there is one."""
    message_ids: list[str]
    consolidated_messages: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    result: TurnResult | None


class JobEvent(Answer):
    """One event: the job as it is now."""

    event: Literal["status"]
    data: str = Field(
        json_schema_extra={
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobAnswer"},
        }
    )


class CancelledJobAnswer(Answer):
    """The state that holds now; ``success``: it is ``cancelled``."""

    success: bool
    job_id: str
    status: JobStatusName


class _Problem(Answer):
    field: str
    problem: str


class ErrorAnswer(Answer):
    """Every error."""

    success: Literal[False]
    status: Literal["error"]
    error: str
    """What is wrong, for a person."""
    code: Literal[
        "invalid_json",
        "validation_error",
        "body_too_large",
        "unsupported_media_type",
        "unauthorized",
        "invalid_signature",
        "forbidden",
        "not_found",
        "method_not_allowed",
        "request_timeout",
        "rate_limited",
        "storage_unavailable",
        "overloaded",
        "internal_error",
    ]
    details: list[_Problem]
    request_id: str
