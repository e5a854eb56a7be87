"""An ingress of the simulated cluster: the real gateway and message flow, without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from actors.gateway import Gateway
from actors.ports import Directory, Overloaded, StorageUnavailable
from ingress.background_jobs import BackgroundJobManager
from ingress.enhanced_flow import EnhancedFlow
from ingress.errors import ApiError
from ingress.redis_adapter import RedisAdapter
from ingress.schemas import EnhancedMessageRequest
from storage import reads
from storage.admin import CancelledJob
from storage.postgres import DatabaseUnavailable
from storage.records import JobStatus
from storage.redis_store import RedisStore
from storage.settings import Settings
from storage.views import JobView
from tests.simulation.database import DatabaseServer

__all__ = ["Ingress"]

REFUSALS = (StorageUnavailable, Overloaded, DatabaseUnavailable, ApiError)


class _Jobs:
    """``ingress.stores.JobStore`` over the simulated database."""

    def __init__(self, database: DatabaseServer) -> None:
        self._database = database

    async def job(self, job_id: str) -> JobView | None:
        return await reads.find_job(self._database, job_id)  # type: ignore[arg-type]

    async def find_jobs(self, job_ids: Sequence[str]) -> list[JobView]:
        return [job for it in job_ids if (job := await self.job(it)) is not None]

    async def job_statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        return {job.job_id: job.status for job in await self.find_jobs(job_ids)}

    async def cancel_job(self, job_id: str) -> CancelledJob | None:
        return await self._database.cancel_job(job_id)


class Ingress:
    """What clients talk to. Every method answers None where the server would refuse."""

    def __init__(self, settings: Settings, directory: Directory, database: DatabaseServer) -> None:
        self._database = database
        self.gateway = Gateway(directory, settings)
        self._jobs = BackgroundJobManager(_Jobs(database), self.gateway)
        redis = RedisStore.open(settings, "ingress")
        self._redis = RedisAdapter(redis) if redis is not None else None
        self._flow = EnhancedFlow(
            self.gateway, self._jobs, settings.response_wait_seconds, lambda: "Redis"
        )
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            await self.gateway.start()
        except TimeoutError:
            return  # it serves as soon as the cluster does, all the same

    async def post(self, request: EnhancedMessageRequest) -> dict[str, Any] | None:
        """``POST /api/v1/enhanced-handle-message``."""
        try:
            return await self._flow.handle(request, time.monotonic())
        except REFUSALS:
            return None

    async def cancel_job(self, job_id: str) -> dict[str, Any] | None:
        """``POST /api/v1/jobs/{job_id}/cancel``."""
        try:
            return await self._jobs.cancel_job(job_id)
        except REFUSALS:
            return None

    async def cancel_conversation(self, conversation_id: str) -> bool | None:
        """``POST /api/v1/admin/conversations/{id}/cancel``."""
        try:
            cancelled = await self._database.cancel_conversation(conversation_id)
        except REFUSALS:
            return None
        if cancelled is None:
            return None
        holder = await self._redis.holder(conversation_id) if self._redis is not None else None
        if self._redis is not None:
            await self._redis.release(conversation_id)
        self.gateway.notify_reset(conversation_id, holder)
        return True
