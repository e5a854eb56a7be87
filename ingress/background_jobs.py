"""Jobs as clients see them: their states and changes, and how to cancel one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from ingress.errors import NotFound
from ingress.job_events import JobEvents, JobStream
from ingress.ports import Gateway
from ingress.stores import JobStore
from storage.records import JobStatus
from storage.views import JobView

__all__ = ["BackgroundJobManager", "job_as_json"]

_UNKNOWN = "There is no such job"
_LONGEST_CHAIN = 100
"""A job superseded by a superseded job, and so on; restarts and merges are bounded far below."""


class BackgroundJobManager:
    """Reads and cancels jobs. All methods raise ``DatabaseUnavailable`` while it is away."""

    def __init__(self, store: JobStore, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway
        self._events = JobEvents(store, gateway)

    async def get_job_status(self, job_id: str) -> dict[str, Any]:
        """Return a job as the API shows it. Raises ``NotFound``."""
        return job_as_json(await self._find(job_id))

    async def open_events(self, job_id: str) -> JobStream:
        """Return a stream of a job's states, for ``follow``. Raises ``NotFound`` or ``Busy``."""
        job = await self._find(job_id)
        self._events.check_room()
        return JobStream(job)

    def follow(self, stream: JobStream) -> AsyncGenerator[JobView]:
        """Yield the job whenever its state is another one, the present one first."""
        return self._events.follow(stream)

    async def follow_as_json(self, stream: JobStream) -> AsyncGenerator[dict[str, Any]]:
        """Yield the same as the API shows it."""
        async with aclosing(self.follow(stream)) as states:
            async for job in states:
                yield job_as_json(job)

    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Cancel a job if it can be; answer the state that holds now. Raises ``NotFound``."""
        job = await self._store.cancel_job(_checked(job_id))
        if job is None:
            raise NotFound(_UNKNOWN)
        is_cancelled = job.status is JobStatus.CANCELLED
        if is_cancelled:
            self._gateway.notify_cancelled(job.conversation_id, job.job_id)
        return {"success": is_cancelled, "job_id": job.job_id, "status": job.status.value}

    async def find_final(self, job_id: str) -> JobView | None:
        """Return the job that answers for ``job_id`` once it is final, else None.

        A job that was made and is not there any more was erased with its conversation: cancelled.
        """
        job = await self._store.job(job_id)
        for _ in range(_LONGEST_CHAIN):
            if job is None:
                return _erased(job_id)
            if not job.status.is_final:
                return None
            if job.status is not JobStatus.SUPERSEDED or job.superseded_by is None:
                return job
            job = await self._store.job(job.superseded_by)
        return None

    async def _find(self, job_id: str) -> JobView:
        job = await self._store.job(_checked(job_id))
        if job is None:
            raise NotFound(_UNKNOWN)
        return job

    @property
    def active_jobs(self) -> int:
        """How many turns the hosts last said they were working on."""
        counts = [actor.get("turns") for actor in self._gateway.describe_actors()]
        return sum(count for count in counts if isinstance(count, int))


def _checked(job_id: str) -> str:
    """Return the id in its usual form."""
    try:
        canonical = str(uuid.UUID(job_id))
    except ValueError:
        raise NotFound(_UNKNOWN) from None
    if canonical != job_id.lower():  # the parser also takes braces and the like
        raise NotFound(_UNKNOWN)
    return canonical


def _erased(job_id: str) -> JobView:
    return JobView(
        job_id=job_id,
        conversation_id="",
        bot_id="",
        status=JobStatus.CANCELLED,
        reason="cancelled",
        superseded_by=None,
        message_ids=[],
        consolidated_messages=0,
        created_at=0.0,
        started_at=None,
        finished_at=None,
        lock_id=None,
        result=None,
        delivery_status=None,
        delivery_attempts=0,
        delivery_error=None,
        next_delivery_at=None,
    )


def job_as_json(job: JobView) -> dict[str, Any]:
    """Return a job as the API shows it; times are Unix seconds."""
    retried_by = {} if job.retried_by is None else {"retried_by": job.retried_by}
    return {
        "job_id": job.job_id,
        "conversation_id": job.conversation_id,
        "status": job.status.value,
        "reason": job.reason,
        "superseded_by": job.superseded_by,
        "message_ids": job.message_ids,
        "consolidated_messages": job.consolidated_messages,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "result": orjson.Fragment(job.result) if job.result else None,
        **retried_by,
    }
