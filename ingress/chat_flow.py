"""A message by ``chat/message``: stored, handed on, and answered as soon as its host has spoken."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from actors.outcome import Outcome, OutcomeKind
from ingress.background_jobs import BackgroundJobManager
from ingress.enhanced_flow import DECIDED, LOOKUP_SECONDS, stored
from ingress.incoming import chat_message
from ingress.ports import Gateway
from ingress.schemas import PancakeMessageRequest, PancakeMessageResponse
from ingress.stores import BotConfig
from storage.postgres import DatabaseUnavailable
from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage
from storage.views import JobView

__all__ = ["HOST_WAIT_SECONDS", "ChatFlow"]

HOST_WAIT_SECONDS = 0.25
"""How long the host may take to speak, counted from when the message was stored."""

_SPOKEN = DECIDED | {OutcomeKind.STARTED, OutcomeKind.GONE}
_STARTED = "Message received and AI processing started"
_LOCKED = "Message received; the conversation is being processed"
_REFUSED = "The conversation is being processed; send the message again later"
_FINAL_KINDS = {
    OutcomeKind.COMPLETED: JobStatus.COMPLETED,
    OutcomeKind.RESTART_NEEDED: JobStatus.COMPLETED,
    OutcomeKind.FAILED: JobStatus.FAILED,
}

log = structlog.get_logger(__name__)


class ChatFlow:
    """Answers requests of ``PancakeMessageRequest``."""

    def __init__(self, gateway: Gateway, jobs: BackgroundJobManager, bots: BotConfig) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._bots = bots

    async def handle(
        self, request: PancakeMessageRequest, idempotency_key: str | None
    ) -> dict[str, Any]:
        """Return the answer.

        Raises ``StorageUnavailable``, ``Overloaded`` or ``ValidationFailed``: then the message is
        not known to be stored.
        """
        message = chat_message(request, idempotency_key)
        accepted = stored(message, await self._gateway.accept(message))
        is_duplicate = accepted.outcome is AcceptOutcome.DUPLICATE
        if is_duplicate and accepted.job_status.is_final:
            answer = await self._duplicate(accepted)
        else:
            outcome = await self._word_of_host(message, accepted)
            answer = await self._from_word(outcome, accepted, is_duplicate)
        answer.bot_name = self._bots.get(message.bot_id).name
        answer.conversation_id = message.conversation_id
        return answer.model_dump()

    async def _word_of_host(self, message: NewMessage, accepted: Accepted) -> Outcome | None:
        key = message.conversation_id, accepted.message_id
        async with self._gateway.expect(*key, hears_start=True) as expectation:
            self._gateway.route(message, accepted)
            return await expectation.wait(_SPOKEN, HOST_WAIT_SECONDS)

    async def _from_word(
        self, outcome: Outcome | None, accepted: Accepted, is_duplicate: bool
    ) -> PancakeMessageResponse:
        if outcome is None:
            return _as_accepted(accepted)
        if outcome.kind is OutcomeKind.GONE:
            job = await self._find_final(accepted.job_id)
            return _final(job, is_duplicate) if job else _as_accepted(accepted)
        if outcome.kind is OutcomeKind.LOCKED:
            return _locked(outcome)
        if outcome.kind is OutcomeKind.RECORDED:
            return _recorded(outcome.job_id, outcome.reason)
        if is_duplicate and outcome.kind in _FINAL_KINDS:
            return _ended(_FINAL_KINDS[outcome.kind], outcome.job_id)
        return _started(outcome.job_id, outcome.lock_id, outcome.consolidated_messages)

    async def _duplicate(self, accepted: Accepted) -> PancakeMessageResponse:
        job = await self._find_final(accepted.job_id)
        if job is None:
            return _ended(accepted.job_status, accepted.job_id)
        return _final(job, is_duplicate=True)

    async def _find_final(self, job_id: str) -> JobView | None:
        """Look a job up. The message is stored, so trouble with the database is no refusal."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._jobs.find_final(job_id)
        except (DatabaseUnavailable, TimeoutError):
            log.warning("job_lookup_failed", job_id=job_id)
            return None


def _started(
    job_id: str | None, lock_id: str | None, consolidated_messages: int = 1
) -> PancakeMessageResponse:
    return PancakeMessageResponse(
        success=True,
        status="ai_processing_started",
        message=_STARTED,
        action="lock_acquired",
        ai_job_id=job_id,
        lock_id=lock_id,
        consolidated_messages=consolidated_messages,
    )


def _as_accepted(accepted: Accepted) -> PancakeMessageResponse:
    """Return the answer while no host has spoken: what acceptance saw."""
    answer = _started(accepted.job_id, None)
    if accepted.unfinished_jobs:
        answer.status, answer.action, answer.message = "locked", "lock_exists", _LOCKED
    return answer


def _locked(outcome: Outcome) -> PancakeMessageResponse:
    return PancakeMessageResponse(
        success=True,
        status="locked",
        message=_LOCKED if outcome.queued else _REFUSED,
        action="lock_exists",
        ai_job_id=outcome.job_id if outcome.queued else None,
        lock_id=outcome.lock_id,
        consolidated_messages=outcome.consolidated_messages,
    )


def _recorded(job_id: str | None, reason: str | None) -> PancakeMessageResponse:
    return PancakeMessageResponse(
        success=True,
        status="recorded",
        message=f"Message recorded, not answered: {reason}",
        action="recorded",
        ai_job_id=job_id,
        consolidated_messages=1,
    )


def _final(job: JobView, is_duplicate: bool) -> PancakeMessageResponse:
    if is_duplicate:
        return _ended(job.status, job.job_id, job.lock_id, job.consolidated_messages)
    if job.status is JobStatus.COMPLETED and job.result is None:
        return _recorded(job.job_id, job.reason)
    return _started(job.job_id, job.lock_id, job.consolidated_messages)


def _ended(
    status: JobStatus, job_id: str | None, lock_id: str | None = None, consolidated: int = 1
) -> PancakeMessageResponse:
    return PancakeMessageResponse(
        success=True,
        status=status.value,
        message=f"Message received before; its job is {status.value}",
        action="duplicate",
        ai_job_id=job_id,
        lock_id=lock_id,
        consolidated_messages=consolidated,
    )
