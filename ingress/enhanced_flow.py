"""A message by ``enhanced-handle-message``: stored, handed on, and its outcome waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from actors.outcome import OutcomeKind
from ingress.background_jobs import BackgroundJobManager
from ingress.enhanced_answers import EnhancedAnswers
from ingress.errors import ValidationFailed
from ingress.incoming import enhanced_message
from ingress.ports import Expectation, Gateway
from ingress.schemas import EnhancedMessageRequest
from storage.metrics import ADDED_LATENCY
from storage.postgres import DatabaseUnavailable
from storage.records import Accepted, AcceptOutcome, NewMessage
from storage.views import JobView

__all__ = ["EnhancedFlow", "stored"]

SILENCE_SECONDS = 5.0
"""After so long without a word the database is asked."""
GONE_SECONDS = 0.5
"""The same, once a host has said that the message is not pending any more."""
LOOKUP_SECONDS = 2.0
"""How long such a look may take."""
DECIDED = frozenset(
    {
        OutcomeKind.LOCKED,
        OutcomeKind.COMPLETED,
        OutcomeKind.FAILED,
        OutcomeKind.RESTART_NEEDED,
        OutcomeKind.RECORDED,
    }
)

log = structlog.get_logger(__name__)


class EnhancedFlow:
    """``storage_backend`` says what guards turns now: ``Redis`` or ``Memory``."""

    def __init__(
        self,
        gateway: Gateway,
        jobs: BackgroundJobManager,
        wait_seconds: float,
        storage_backend: Callable[[], str],
    ) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._wait_seconds = wait_seconds
        self._storage_backend = storage_backend

    async def handle(self, request: EnhancedMessageRequest, arrived_at: float) -> dict[str, Any]:
        """Return the answer, at the latest ``wait_seconds`` after ``arrived_at`` (monotonic).

        Raises ``StorageUnavailable``, ``Overloaded`` or ``ValidationFailed``: then the message is
        not known to be stored.
        """
        message = enhanced_message(request)
        accepted = stored(message, await self._gateway.accept(message))
        is_duplicate = accepted.outcome is AcceptOutcome.DUPLICATE
        answers = EnhancedAnswers(accepted.message_id, is_duplicate, self._storage_backend())
        result = None
        if is_duplicate and accepted.job_status.is_final:
            job = await self._find_final(accepted.job_id)
            result = answers.from_job(job) if job else answers.processing(accepted.job_id)
        else:
            key = message.conversation_id, accepted.message_id
            async with self._gateway.expect(*key) as expectation:
                self._gateway.route(message, accepted)
                result = await self._outcome(expectation, accepted, answers, arrived_at)
        now = time.time()
        return {
            "success": result["status"] != "failed",
            "result": result,
            "timestamp": now,
            "processing_time_ms": round((time.monotonic() - arrived_at) * 1000, 3),
        }

    async def _outcome(
        self,
        expectation: Expectation,
        accepted: Accepted,
        answers: EnhancedAnswers,
        arrived_at: float,
    ) -> dict[str, Any]:
        deadline = arrived_at + self._wait_seconds
        kinds, patience_seconds = DECIDED | {OutcomeKind.GONE}, SILENCE_SECONDS
        while not expectation.is_over and (remaining := deadline - time.monotonic()) > 0:
            outcome = await expectation.wait(kinds, min(patience_seconds, remaining))
            if outcome is not None and outcome.kind is not OutcomeKind.GONE:
                if outcome.result is not None and not answers.is_duplicate:
                    spent = time.monotonic() - arrived_at
                    ADDED_LATENCY.observe(max(0.0, spent - outcome.elsewhere_seconds))
                return answers.from_outcome(outcome)
            if outcome is not None:
                kinds, patience_seconds = DECIDED, GONE_SECONDS
            job = await self._find_final(accepted.job_id)
            if job is not None:
                return answers.from_job(job)
        return answers.processing(accepted.job_id)

    async def _find_final(self, job_id: str) -> JobView | None:
        """Look a job up. The message is stored, so trouble with the database is no refusal."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._jobs.find_final(job_id)
        except (DatabaseUnavailable, TimeoutError):
            log.warning("job_lookup_failed", job_id=job_id)
            return None


def stored(message: NewMessage, accepted: Accepted) -> Accepted:
    """Return what was accepted. Raises ``ValidationFailed`` for what cannot be stored.

    A message that is stored already, with other content, keeps what it had first. The log lines
    of the request have the ids of its conversation and job from here on.
    """
    bind_contextvars(conversation_id=message.conversation_id, job_id=accepted.job_id)
    if accepted.outcome is AcceptOutcome.REFUSED:
        raise ValidationFailed.of("", accepted.error or "cannot be stored")
    # Of a history, only the parts that no other message held were stored.
    is_known = (
        accepted.content in message.content
        if message.parts
        else (accepted.content == message.content)
    )
    if accepted.outcome is AcceptOutcome.DUPLICATE and message.message_id and not is_known:
        log.warning(
            "duplicate_with_other_content_dropped",
            conversation_id=message.conversation_id,
            message_id=message.message_id,
        )
    return accepted
