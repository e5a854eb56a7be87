"""Asks an AI service, again where that may help."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog

from actors.ai_answer import (
    AiAnswer,
    AiCall,
    AiFailed,
    AiMessage,
    FailureReason,
    UnusableAnswer,
    read_answer,
    request_body,
)
from actors.bulkhead import Bulkheads
from actors.http_client import (
    CallFailed,
    CallTimedOut,
    HttpClient,
    Reply,
    backoff_seconds,
    loggable,
)
from storage.metrics import AI_FAILURES, AI_LATENCY

__all__ = ["Ai", "AiAnswer", "AiCall", "AiClient", "AiFailed", "AiMessage"]

BACKOFF_BASE_SECONDS = 0.2
BACKOFF_CAP_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 30.0
MAX_CONCURRENCY = 512

log = structlog.get_logger()


class Ai(Protocol):
    """Whatever answers a turn."""

    async def answer(self, call: AiCall) -> AiAnswer:
        """Return a usable answer. Raises ``AiFailed``; cancelling it abandons the call."""
        ...


class _AttemptFailed(Exception):
    """One attempt gave no usable answer."""

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        *,
        may_retry: bool = True,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.may_retry = may_retry
        self.retry_after_seconds = retry_after_seconds


class AiClient:
    """AI services over HTTP, each bot at its own address.

    Each address is asked by at most ``max_concurrency`` calls at a time. Waiting for one's turn
    comes before the attempt, and counts in no timeout.
    """

    def __init__(
        self,
        *,
        max_concurrency: int = MAX_CONCURRENCY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = HttpClient()
        self._bulkheads = Bulkheads(max_concurrency)
        self._sleep = sleep

    async def answer(self, call: AiCall) -> AiAnswer:
        """Ask the service of the call's bot. Raises ``AiFailed``."""
        if call.bot.ai_url is None:
            raise AiFailed("ai_error", "the bot has no AI service", attempts=0)
        started: float | None = None
        attempts = 0
        while True:
            attempts += 1
            key = f"{call.job_id}.{call.first_attempt + attempts - 1}"
            try:
                async with self._bulkheads.slot(call.bot.ai_url):
                    started = started or time.monotonic()
                    answer = await self._attempt(
                        call.bot.ai_url, request_body(call), key, call.bot.ai_timeout_seconds
                    )
            except _AttemptFailed as failure:
                self._log(call, key, failure)
                if not failure.may_retry or attempts >= call.bot.ai_max_attempts:
                    raise AiFailed(failure.reason, str(failure), attempts) from failure
                await self._sleep(_pause_seconds(attempts, failure.retry_after_seconds))
                continue
            elapsed_ms = (time.monotonic() - started) * 1000
            return replace(answer, processing_time_ms=elapsed_ms, attempts=attempts)

    def crowded(self, least: int) -> dict[str, int]:
        """Return the addresses that at least so many calls use or wait for, with the numbers."""
        return self._bulkheads.crowded(least)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _attempt(
        self, url: str, body: bytes, idempotency_key: str, timeout_seconds: float
    ) -> AiAnswer:
        headers = {"Idempotency-Key": idempotency_key}
        asked_at = time.monotonic()
        try:
            reply = await self._client.post_json(url, body, headers, timeout_seconds)
        except CallTimedOut as error:
            raise _AttemptFailed("ai_timeout", str(error)) from error
        except CallFailed as error:
            raise _AttemptFailed("ai_error", str(error)) from error
        finally:
            AI_LATENCY.observe(time.monotonic() - asked_at)
        return _usable(reply)

    def _log(self, call: AiCall, key: str, failure: _AttemptFailed) -> None:
        AI_FAILURES.add(failure.reason)
        log.warning(
            "ai_attempt_failed",
            conversation_id=call.conversation_id,
            job_id=call.job_id,
            idempotency_key=key,
            url=loggable(call.bot.ai_url or ""),
            reason=failure.reason,
            detail=str(failure),
        )


def _usable(reply: Reply) -> AiAnswer:
    if not 200 <= reply.status < 300:
        raise _AttemptFailed(
            "ai_error",
            f"status {reply.status}",
            may_retry=reply.status == 429 or reply.status >= 500,
            retry_after_seconds=reply.retry_after_seconds,
        )
    if reply.body is None:
        raise _AttemptFailed("ai_invalid_response", "the answer is too long")
    try:
        return read_answer(reply.body)
    except UnusableAnswer as error:
        raise _AttemptFailed("ai_invalid_response", f"the answer {error}") from error


def _pause_seconds(failures: int, retry_after_seconds: float | None) -> float:
    jitter = random.random()  # noqa: S311 - spreads load, keeps no secret
    own = backoff_seconds(failures, BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS, jitter)
    return max(own, min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS))
