"""The rows of the simulated database, and of what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from storage.records import JobStatus, LeaseKind, NewMessage

__all__ = ["UNFINISHED", "Answer", "ConversationRow", "JobRow", "MessageRow"]

UNFINISHED = frozenset({JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.SUPERSEDED})


class Answer(dict[str, Any]):
    """A row as the driver gives it: by name, or unpacked in order."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


@dataclass(slots=True, eq=False)
class MessageRow:
    """A row of ``messages``, of a person."""

    new: NewMessage
    job_id: str
    seq: int
    accepted_at: float
    turn_job_id: str | None = None
    processed_at: float | None = None

    @property
    def message_id(self) -> str:
        return self.new.message_id or ""


@dataclass(slots=True, eq=False)
class JobRow:
    """A row of ``jobs``, its actions included."""

    job_id: str
    conversation_id: str
    bot_id: str
    message_ids: list[str]
    created_at: float
    status: JobStatus = JobStatus.QUEUED
    outcome_status: JobStatus | None = None
    reason: str | None = None
    superseded_by: str | None = None
    retried_by: str | None = None
    epoch: int = 0
    lock_id: str | None = None
    started_at: float | None = None
    committed_at: float | None = None
    finished_at: float | None = None
    ai_response: str | None = None
    extracted_actions: str | None = None
    delivery_status: str | None = None
    delivery_body: str | None = None
    delivery_seq: int = 0
    delivery_attempts: int = 0
    delivery_error: str | None = None
    next_delivery_at: float | None = None
    actions_executed: int = 0
    action_count: int = 0

    @property
    def is_open(self) -> bool:
        """Whether a turn may still be done under it."""
        return self.committed_at is None and self.status in UNFINISHED


@dataclass(slots=True, eq=False)
class ConversationRow:
    """A row of ``conversations``, with what belongs to it."""

    conversation_id: str
    epoch: int = 0
    status: str = "active"
    owner: str | None = None
    cluster: str | None = None
    lock_id: str | None = None
    lease_kind: LeaseKind = LeaseKind.REDIS
    owner_until: float | None = None
    running_job_id: str | None = None
    attempts: int = 0
    last_position: int = 0
    context_start: int = 0
    last_accepted_at: float = 0.0
    last_seq: int = 0
    previous_seq: int = 0
    last_settled_at: float | None = None
    messages: dict[str, MessageRow] = field(default_factory=dict)
    jobs: dict[str, JobRow] = field(default_factory=dict)
    lines: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Sender type and content of what has a place in the context."""

    def pending(self) -> list[MessageRow]:
        """Messages that nobody has decided, by order of acceptance."""
        waiting = [it for it in self.messages.values() if it.processed_at is None]
        return sorted(waiting, key=lambda it: it.seq)

    def undelivered(self) -> list[JobRow]:
        """Committed answers on their way, by order of their commits."""
        waiting = [it for it in self.jobs.values() if it.delivery_status == "pending"]
        return sorted(waiting, key=lambda it: it.delivery_seq)

    def has_live_owner(self, now: float) -> bool:
        """Whether its owner is alive by the database's clock."""
        return self.owner_until is not None and self.owner_until > now
