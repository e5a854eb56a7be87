"""What the simulated database keeps of deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.delivery_records import DeliveryRecord, DeliveryResult, DeliveryStart
from storage.records import FencedOutcome, JobStatus

if TYPE_CHECKING:
    from tests.simulation.tables import Tables

__all__ = ["record_delivery", "start_delivery"]


def start_delivery(tables: Tables, start: DeliveryStart) -> FencedOutcome:
    """Count an attempt."""
    conversation = tables.conversations[start.conversation_id]
    if not tables.is_current(conversation, start.epoch):
        return FencedOutcome.FENCED
    job = conversation.jobs.get(start.job_id)
    if job is None or job.delivery_status != "pending":
        return FencedOutcome.CANCELLED
    wait = 2.0 ** (min(job.delivery_attempts, 6) - 1) if job.delivery_attempts else 0.0
    job.next_delivery_at = tables.now + wait
    job.delivery_attempts += 1
    return FencedOutcome.DONE


def record_delivery(tables: Tables, record: DeliveryRecord) -> FencedOutcome:
    """Write down how an attempt ended; what was sent is a fact, whoever the owner is."""
    conversation = tables.conversations[record.conversation_id]
    job = conversation.jobs.get(record.job_id)
    status = job.delivery_status if job is not None else None
    is_sent = record.result is DeliveryResult.SENT
    if status in ("sent", "dead") and status == record.result:
        return FencedOutcome.DONE
    if not is_sent and not tables.is_current(conversation, record.epoch):
        return FencedOutcome.FENCED
    if job is None or not (status == "pending" or (status == "dead" and is_sent)):
        return FencedOutcome.CANCELLED
    job.status = job.outcome_status or JobStatus.COMPLETED
    job.finished_at = job.finished_at or tables.now
    is_retried = record.result is DeliveryResult.RETRY
    job.delivery_status = "pending" if is_retried else record.result.value
    job.delivery_error = record.error
    job.next_delivery_at = tables.now + record.retry_in_seconds if is_retried else None
    if is_sent:
        job.delivery_body, job.actions_executed = None, record.actions_executed
    return FencedOutcome.DONE
