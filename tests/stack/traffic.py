"""Clients as webhook platforms are: they send again until a message is taken."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.servers import PostgresServer
from tests.stack.ask import ENHANCED, message
from tests.stack.history import History, Request, Verdict
from tests.stack.server import MESSAGES_TOKEN, wait_for
from tests.stack.stubs import Stubs

__all__ = [
    "AI_SECONDS",
    "CONVERSATIONS",
    "Traffic",
    "conversations_for",
    "in_the_middle",
    "open_traffic",
]

CONVERSATIONS = 40
AI_SECONDS = 1.0

PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 150.0
REFUSALS = (503, 429)
"""Statuses that say: nothing is known to be stored, send it again."""


@dataclass
class Traffic:
    """Sends messages, at most ``concurrency`` at a time, and keeps what became of each request."""

    session: aiohttp.ClientSession
    concurrency: int = 50
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What has been accepted, by message id: a 200 was seen."""
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The ``result`` of every 200, by message id."""
    waits: list[float] = field(default_factory=list)
    """How long each message took from its first sending to its 200, in seconds."""
    refusals: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    """Every attempt, as its client saw it."""
    broken: int = 0
    """Connections that ended without an answer."""

    async def send_all(self, bodies: list[dict[str, Any]]) -> None:
        """Send every body until it is taken."""
        gate = asyncio.Semaphore(self.concurrency)

        async def send(body: dict[str, Any]) -> None:
            async with gate:
                await self.send(body)

        async with asyncio.TaskGroup() as group:
            for body in bodies:
                group.create_task(send(body))

    async def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send one body until it is taken; return the ``result``."""
        started_at = time.monotonic()
        while (result := await self._try(body)) is None:
            elapsed = time.monotonic() - started_at
            assert elapsed < PATIENCE_SECONDS, f"not taken for {elapsed:.0f} s: {self.refusals}"
            await asyncio.sleep(PAUSE_SECONDS)
        self.waits.append(time.monotonic() - started_at)
        self.bodies[body["message_id"]] = body
        self.results.setdefault(body["message_id"], []).append(result)
        return result

    async def send_all_once(self, bodies: list[dict[str, Any]]) -> None:
        """Send every body once: what is refused stays refused."""
        gate = asyncio.Semaphore(self.concurrency)

        async def send(body: dict[str, Any]) -> None:
            async with gate:
                await self.send_once(body)

        async with asyncio.TaskGroup() as group:
            for body in bodies:
                group.create_task(send(body))

    async def send_once(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Send one body once; return the ``result``, or None if it was not taken."""
        result = await self._try(body)
        if result is not None:
            self.bodies[body["message_id"]] = body
            self.results.setdefault(body["message_id"], []).append(result)
        return result

    @property
    def refused(self) -> dict[str, Request]:
        """The last refusal of each message that was never taken, by its id."""
        return {
            it.message_id: it
            for it in self.requests
            if it.verdict is Verdict.REFUSED and it.message_id not in self.bodies
        }

    async def _try(self, body: dict[str, Any]) -> dict[str, Any] | None:
        started_at = time.monotonic()

        def note(verdict: Verdict, code: str | None = None, result: Any = None) -> None:
            ids = body["conversation_id"], body["message_id"]
            ended_at = time.monotonic()
            self.requests.append(Request(*ids, started_at, ended_at, verdict, code, result))

        try:
            async with self.session.post(ENHANCED, json=body) as response:
                if response.status in REFUSALS:
                    assert "Retry-After" in response.headers
                    self.refusals.append(response.status)
                    note(Verdict.REFUSED, (await response.json())["code"])
                    return None
                text = await response.text()
                assert response.status == 200, text
                result: dict[str, Any] = (await response.json())["result"]
        except (aiohttp.ClientError, TimeoutError):
            self.broken += 1
            note(Verdict.UNKNOWN)
            return None
        note(Verdict.OK, result=result)
        return result

    async def check_history(
        self,
        postgres: PostgresServer,
        stubs: Stubs,
        ids: Iterable[str],
        timeout_seconds: float = 30,
        **expected: bool,
    ) -> History:
        """Wait until nothing waits in these conversations any more, check them, and return them.

        All that was sent to them was sent here. ``expected`` is for ``History.check``.
        """
        history = await History.when_over(postgres.url, stubs, ids, timeout_seconds)
        history.check(self.bodies, requests=self.requests, **expected)
        return history

    def statuses(self) -> dict[str, int]:
        """Count the answers by what they said."""
        counts: dict[str, int] = {}
        for results in self.results.values():
            for result in results:
                counts[result["status"]] = counts.get(result["status"], 0) + 1
        return counts


@asynccontextmanager
async def open_traffic(url: str, concurrency: int = 50) -> AsyncIterator[Traffic]:
    """Open a client for many messages at once (httpx would be busy with itself)."""
    async with aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {MESSAGES_TOKEN}"},
        timeout=aiohttp.ClientTimeout(total=60),
        connector=aiohttp.TCPConnector(limit=0),
    ) as session:
        yield Traffic(session, concurrency)


def conversations_for(stubs: Stubs, name: str) -> list[str]:
    """Return ids of new conversations in which the AI takes its time."""
    run = uuid.uuid4().hex[:8]
    ids = [f"{name}_{run}_{number}" for number in range(CONVERSATIONS)]
    for conversation_id in ids:
        stubs.delay(conversation_id, AI_SECONDS)
    return ids


async def in_the_middle(
    traffic: Traffic, stubs: Stubs, ids: list[str], more_seconds: float = AI_SECONDS
) -> asyncio.Task[None]:
    """Send two messages to each conversation; return when a turn of each is running.

    The AI does not answer before that, however slow the machine is, and ``more_seconds`` after.
    """
    releases = [stubs.hold(it) for it in ids]
    bodies = [message(it, f"text {number}") for number in range(2) for it in ids]
    sending = asyncio.create_task(traffic.send_all(bodies))

    async def all_are_running() -> bool:
        return all(any(c.is_running for c in stubs.ai_calls(it)) for it in ids)

    def release() -> None:
        for release_one in releases:
            release_one()

    try:
        await wait_for(all_are_running, 30, "turns run")
    finally:
        asyncio.get_running_loop().call_later(more_seconds, release)
    return sending
