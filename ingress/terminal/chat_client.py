"""The two operations that a chat needs of the server: send a message, follow a job."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from httpx_sse import SSEError, aconnect_sse

from storage.records import JobStatus

__all__ = ["FINAL_STATUSES", "ChatClient", "ChatFailed", "TypedMessage"]

FINAL_STATUSES = frozenset(status.value for status in JobStatus if status.is_final)
MAX_TRIES = 8
"""Of one message, and of connections to one job's events that bring nothing."""
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
ANSWER_SECONDS = 3600.0
"""More than RESPONSE_WAIT_SECONDS can be set to."""
SILENCE_SECONDS = 45.0
"""Without an event for so long, in which the server sends three heartbeats, it is gone."""

_TRY_AGAIN = frozenset({429, 503})
_NO_JOB = "00000000-0000-0000-0000-000000000000"
_UNKNOWN_HERE = (401, 403)


class ChatFailed(RuntimeError):
    """The server did not do what it was asked for; the text is for a person."""


@dataclass(frozen=True, slots=True)
class TypedMessage:
    """What somebody has typed. It keeps its id, however often it is sent."""

    text: str
    message_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    typed_at: float = field(default_factory=time.time)
    """Unix seconds."""


class ChatClient:
    """One conversation with one server. ``complain`` is told what is tried again, and why."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        conversation_id: str,
        bot_id: str | None,
        complain: Callable[[str], None],
    ) -> None:
        self._http = http
        self.conversation_id = conversation_id
        self._bot_id = bot_id
        self._complain = complain

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        token: str,
        conversation_id: str,
        bot_id: str | None,
        complain: Callable[[str], None],
    ) -> AsyncIterator[Self]:
        """Connect, and see that the server is there and takes the token. Raises ``ChatFailed``."""
        headers = {"Authorization": f"Bearer {token}"}
        timeout = httpx.Timeout(10.0, read=ANSWER_SECONDS, pool=None)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False
        ) as http:
            await _check(http, url)
            yield cls(http, conversation_id, bot_id, complain)

    async def send(self, message: TypedMessage) -> dict[str, Any]:
        """Send a message until it is taken; return ``result`` of the answer.

        Raises ``ChatFailed`` for what the server does not take, or not after ``MAX_TRIES``.
        """
        body = self._body_of(message)
        for number in range(1, MAX_TRIES + 1):
            try:
                response = await self._http.post("/api/v1/enhanced-handle-message", json=body)
            except httpx.TransportError as error:
                problem, seconds = f"the server is gone ({type(error).__name__})", PAUSE_SECONDS
            else:
                if response.status_code not in _TRY_AGAIN:
                    return _result_of(response)
                problem, seconds = _problem_of(response), _retry_after(response)
            if number < MAX_TRIES:
                self._complain(f"{problem}; sending it again in {seconds:g} s")
                await asyncio.sleep(seconds)
        raise ChatFailed(f"not sent: {problem}")

    async def follow(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield each state of a job as it comes, the present one first, until it is final.

        Raises ``ChatFailed`` if the job is not known (any more), or the server is gone for long.
        """
        seen = None
        tries = 0
        while tries < MAX_TRIES:
            tries += 1
            async for job in self._states(job_id):
                if job["status"] != seen:
                    seen, tries = job["status"], 0
                    yield job
                if seen in FINAL_STATUSES:
                    return
            await asyncio.sleep(PAUSE_SECONDS)  # the instance stops, or is gone
        raise ChatFailed("the server is gone; what it has accepted will be answered all the same")

    async def _states(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what one connection brings, however it ends."""
        path = f"/api/v1/jobs/{job_id}/events"
        timeout = httpx.Timeout(10.0, read=SILENCE_SECONDS)
        try:
            async with aconnect_sse(self._http, "GET", path, timeout=timeout) as source:
                if source.response.status_code in _TRY_AGAIN:
                    return
                if source.response.is_error:
                    await source.response.aread()
                    raise ChatFailed(_problem_of(source.response))
                async for event in source.aiter_sse():
                    if event.event == "status":
                        yield event.json()
        except (httpx.TransportError, SSEError):
            return

    def _body_of(self, message: TypedMessage) -> dict[str, Any]:
        body: dict[str, Any] = {
            "conversation_id": self.conversation_id,
            "message_id": message.message_id,
            "message_content": message.text,
            "sender_id": "terminal",
            "sender_type": "user",
            "timestamp": message.typed_at,
        }
        if self._bot_id is not None:
            body["metadata"] = {"bot_id": self._bot_id}
        return body


async def _check(http: httpx.AsyncClient, url: str) -> None:
    """Ask for a job that is none: a server that takes the token says so."""
    try:
        response = await http.get(f"/api/v1/jobs/{_NO_JOB}", timeout=10.0)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ChatFailed(
            f"no server answers at {url} ({type(error).__name__}); "
            "start one with: chat-orchestrator up"
        ) from None
    if response.status_code in _UNKNOWN_HERE:
        raise ChatFailed(f"{url} does not take the token; set PANCAKE_ACCESS_TOKEN")
    if response.status_code != 404 and response.status_code not in _TRY_AGAIN:
        raise ChatFailed(f"{url} answers {response.status_code}: is it a chat-orchestrator?")


def _result_of(response: httpx.Response) -> dict[str, Any]:
    try:
        result = response.json()["result"] if response.is_success else None
    except (ValueError, KeyError, TypeError):
        result = None
    if not isinstance(result, dict):
        raise ChatFailed(f"not sent: {_problem_of(response)}")
    return result


def _problem_of(response: httpx.Response) -> str:
    """Say what the server says is wrong, with the fields that are."""
    try:
        error = response.json()
        details = [f"{it['field']}: {it['problem']}" for it in error.get("details") or ()]
        return "; ".join([str(error["error"]), *details])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the server answers {response.status_code}"


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() else PAUSE_SECONDS
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)
