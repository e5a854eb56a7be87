"""How a row of ``jobs`` is shown."""

from __future__ import annotations

from datetime import datetime

import msgspec

from storage.postgres import Row
from storage.records import JobStatus
from storage.views import JobView

__all__ = ["job_view"]


def job_view(row: Row) -> JobView:
    """Make the view of a job from its whole row."""
    superseded_by, retried_by = row["superseded_by"], row["retried_by"]
    return JobView(
        job_id=str(row["id"]),
        conversation_id=row["conversation_id"],
        bot_id=row["bot_id"],
        status=JobStatus(row["status"]),
        reason=row["reason"],
        superseded_by=str(superseded_by) if superseded_by else None,
        message_ids=row["message_ids"],
        consolidated_messages=row["consolidated_messages"],
        created_at=row["created_at"].timestamp(),
        started_at=_seconds(row["started_at"]),
        finished_at=_seconds(row["finished_at"]),
        lock_id=row["lock_id"],
        result=_result(row),
        delivery_status=row["delivery_status"],
        delivery_attempts=row["delivery_attempts"],
        delivery_error=row["delivery_error"],
        next_delivery_at=_seconds(row["next_delivery_at"]),
        retried_by=str(retried_by) if retried_by else None,
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _result(row: Row) -> str | None:
    """The answer with what became of its delivery; None where no turn gave one."""
    if row["committed_at"] is None:
        return None
    if row["ai_response"] is None and row["delivery_status"] is None:
        return None
    status = {"pending": "pending", "dead": "failed", "cancelled": "failed"}.get(
        row["delivery_status"], "success"
    )
    result = {
        "ai_response": msgspec.Raw((row["ai_response"] or "null").encode()),
        "extracted_actions": msgspec.Raw((row["extracted_actions"] or "[]").encode()),
        "pancake_result": {"status": status, "actions_executed": row["actions_executed"]},
    }
    return msgspec.json.encode(result).decode()
