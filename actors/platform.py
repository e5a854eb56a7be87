"""Hands the actions of an answer to the platform: one attempt; who calls it tries again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import orjson
import structlog

from actors.actions import Action, actions_json
from actors.http_client import (
    CallFailed,
    HttpClient,
    Reply,
    backoff_seconds,
    loggable,
)
from storage.delivery_records import DeliveryResult
from storage.effective_bot import EffectiveBot

__all__ = [
    "DeliveryAttempt",
    "PlatformClient",
    "PlatformPort",
    "delivery_backoff_seconds",
    "delivery_body",
]

TIMEOUT_SECONDS = 10.0
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 40.0  # a minute with its jitter
MAX_RETRY_AFTER_SECONDS = 300.0
MAX_ACTIONS_EXECUTED = 1_000_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """How one attempt ended."""

    result: DeliveryResult
    actions_executed: int | None = None
    """What the platform says; None: it does not, count those sent."""
    retry_after_seconds: float | None = None
    """What the platform asks for, bounded."""
    error: str | None = None
    """For an operator; quotes neither the request nor the reply."""


class PlatformPort(Protocol):
    """Whatever takes deliveries."""

    async def deliver(self, job_id: str, body: str, bot: EffectiveBot) -> DeliveryAttempt:
        """Try once to deliver ``body``; every failure is a result, none is raised."""
        ...


class PlatformClient:
    """Platforms over HTTP, each bot at its own address."""

    def __init__(
        self,
        api_token: str | None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._client = HttpClient()
        self._timeout_seconds = timeout_seconds
        self._headers = {"Authorization": f"Bearer {api_token}"} if api_token else {}

    async def deliver(self, job_id: str, body: str, bot: EffectiveBot) -> DeliveryAttempt:
        """Try once to deliver ``body`` to the platform of ``bot``."""
        if bot.platform_url is None:
            return DeliveryAttempt(DeliveryResult.DEAD, error="the bot has no platform")
        headers = {**self._headers, "Idempotency-Key": job_id}
        try:
            reply = await self._client.post_json(
                bot.platform_url, body.encode(), headers, self._timeout_seconds
            )
        except CallFailed as error:
            attempt = DeliveryAttempt(DeliveryResult.RETRY, error=str(error))
        else:
            attempt = _judge(reply)
        if attempt.result is not DeliveryResult.SENT:
            log.warning(
                "delivery_attempt_failed",
                job_id=job_id,
                url=loggable(bot.platform_url),
                result=attempt.result.value,
                error=attempt.error,
            )
        return attempt

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def delivery_body(
    *,
    conversation_id: str,
    ai_response: str | None,
    actions: Iterable[Action],
    timestamp: float,
    lock_id: str,
    job_id: str,
    message_ids: list[str],
) -> str:
    """Encode the request body, once for all attempts; ``ai_response`` is JSON text."""
    return orjson.dumps(
        {
            "conversation_id": conversation_id,
            "ai_response": None if ai_response is None else orjson.Fragment(ai_response),
            "actions": orjson.Fragment(actions_json(actions)),
            "timestamp": timestamp,
            "distributed_lock_id": lock_id,
            "job_id": job_id,
            "message_ids": message_ids,
        }
    ).decode()


def delivery_backoff_seconds(attempts: int, random_fraction: float) -> float:
    """Return how long to wait after ``attempts`` failed ones; ``random_fraction`` is 0 to 1."""
    return backoff_seconds(attempts, BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS, random_fraction)


def _judge(reply: Reply) -> DeliveryAttempt:
    retry_after = reply.retry_after_seconds
    wait = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER_SECONDS)
    if 200 <= reply.status < 300:
        said = _object(reply.body)
        if said.get("success") is False:
            error = "the platform says that it failed"
            return DeliveryAttempt(DeliveryResult.RETRY, None, wait, error)
        return DeliveryAttempt(DeliveryResult.SENT, _count(said.get("actions_executed")))
    error = f"status {reply.status}"
    if reply.status in (408, 429) or reply.status >= 500:
        return DeliveryAttempt(DeliveryResult.RETRY, None, wait, error)
    return DeliveryAttempt(DeliveryResult.DEAD, error=error)


def _object(body: bytes | None) -> dict[str, object]:
    """Return the JSON object in ``body``; a success need not say anything."""
    try:
        value = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_ACTIONS_EXECUTED else None
