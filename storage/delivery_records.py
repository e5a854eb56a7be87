"""What becomes of answers: records of deliveries, as in ``storage.records``."""

from __future__ import annotations

from enum import StrEnum

from storage.records import Record


class StoredDelivery(Record, frozen=True):
    """A committed answer that has not reached the platform yet."""

    job_id: str
    bot_id: str
    body: str
    attempts: int
    retry_in_seconds: float
    message_ids: list[str]
    action_count: int


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
