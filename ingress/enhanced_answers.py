"""The answers of ``enhanced-handle-message``, from what a host said or the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from actors.outcome import Outcome, OutcomeKind
from storage.records import JobStatus
from storage.views import JobView

__all__ = ["EnhancedAnswers"]

_PARTS = ("ai_response", "extracted_actions", "pancake_result")
_FAILED = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class EnhancedAnswers:
    """Makes the ``result`` objects for one message."""

    message_id: str
    is_duplicate: bool
    storage_backend: str
    """For what the database tells; a host says by itself what guarded its turn."""

    def from_outcome(self, outcome: Outcome) -> dict[str, Any]:
        """Return the answer to the word of a host."""
        backend = outcome.storage_backend
        if outcome.kind is OutcomeKind.LOCKED:
            return self._locked(outcome.job_id, backend, is_queued=outcome.queued)
        if outcome.kind is OutcomeKind.RECORDED:
            return self._recorded(outcome.reason, outcome.job_id, backend)
        if outcome.kind is OutcomeKind.RESTART_NEEDED:
            return self._restart_needed(outcome)
        return {
            **_turn(outcome.kind is OutcomeKind.COMPLETED, outcome.reason, outcome.result),
            **self._common(outcome.job_id, backend),
            "distributed_lock_used": outcome.distributed_lock_used,
            "lock_id": outcome.lock_id,
            "consolidated_messages": outcome.consolidated_messages,
        }

    def from_job(self, job: JobView) -> dict[str, Any]:
        """Return the answer that a final job stands for."""
        backend = self.storage_backend
        if job.status is JobStatus.REJECTED:
            return self._locked(None, backend, is_queued=False)
        if job.status is JobStatus.COMPLETED and job.result is None:
            return self._recorded(job.reason, job.job_id, backend)
        return {
            **_turn(job.status not in _FAILED, job.reason, job.result),
            **self._common(job.job_id, backend),
            "distributed_lock_used": backend == "Redis",
            "lock_id": job.lock_id,
            "consolidated_messages": job.consolidated_messages,
        }

    def processing(self, job_id: str) -> dict[str, Any]:
        """Return the answer at the end of the wait."""
        return {"status": "processing", **self._common(job_id, self.storage_backend)}

    def _locked(self, job_id: str | None, backend: str, *, is_queued: bool) -> dict[str, Any]:
        return {
            "status": "locked",
            "reason": "processing_in_progress",
            **self._common(job_id if is_queued else None, backend),
            "queued": is_queued,
        }

    def _recorded(self, reason: str | None, job_id: str | None, backend: str) -> dict[str, Any]:
        return {"status": "recorded", "reason": reason, **self._common(job_id, backend)}

    def _restart_needed(self, outcome: Outcome) -> dict[str, Any]:
        newer = outcome.newer_messages
        return {
            "status": "restart_needed",
            "newer_messages": [
                {"message_id": it.message_id, "timestamp": it.timestamp} for it in newer
            ],
            "current_result": orjson.loads(outcome.result) if outcome.result else None,
            "restart_job_id": outcome.restart_job_id,
            **self._common(outcome.job_id, outcome.storage_backend),
            "lock_id": outcome.lock_id,
            "consolidated_messages": outcome.consolidated_messages,
        }

    def _common(self, job_id: str | None, backend: str) -> dict[str, Any]:
        return {
            "message_id": self.message_id,
            "storage_backend": backend,
            "job_id": job_id,
            "duplicate": self.is_duplicate,
        }


def _turn(is_completed: bool, reason: str | None, result_json: str | None) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(result_json) if result_json else {}
    if is_completed:
        return {"status": "completed", **{name: result.get(name) for name in _PARTS}}
    return {"status": "failed", "reason": reason, **result}
