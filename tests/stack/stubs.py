"""An AI service and a platform of our own, over HTTP, that record what they are asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

__all__ = ["AiCallRecord", "DeliveryRecord", "Reply", "Stubs"]

Reply = tuple[int, Any, dict[str, str]]
"""Status, JSON value (or raw bytes) and headers."""


@dataclass
class AiCallRecord:
    """One request to the AI service. ``ended_at`` is None while it runs, or if it was cut off.

    Times are monotonic seconds.
    """

    body: dict[str, Any]
    idempotency_key: str
    started_at: float
    ended_at: float | None = None
    was_cut_off: bool = False
    cut_off_at: float | None = None

    @property
    def is_running(self) -> bool:
        return self.ended_at is None and not self.was_cut_off


@dataclass
class DeliveryRecord:
    """One request to the platform."""

    body: dict[str, Any]
    raw: bytes
    idempotency_key: str
    received_at: float
    status: int


@dataclass
class _Plan:
    delay_seconds: float | None = None
    ai_replies: list[Reply] = field(default_factory=list)
    platform_replies: list[Reply] = field(default_factory=list)
    released: threading.Event | None = None


class Stubs:
    """Both services on one free port, in a thread of their own.

    What they do can be planned for each conversation; without a plan the AI answers after
    ``delay_seconds`` with ``answer to <message>`` and the platform takes everything.
    """

    def __init__(self, delay_seconds: float = 0.05) -> None:
        self.delay_seconds = delay_seconds
        self.slowdown_seconds = 0.0
        """What every AI call takes on top."""
        self.platform_status = 200
        """What the platform answers where nothing is planned."""
        self.url = ""
        self._plans: defaultdict[str, _Plan] = defaultdict(_Plan)
        self._ai_calls: defaultdict[str, list[AiCallRecord]] = defaultdict(list)
        self._deliveries: defaultdict[str, list[DeliveryRecord]] = defaultdict(list)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Close everything."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ai_calls(self, conversation_id: str) -> list[AiCallRecord]:
        """What the AI was asked for a conversation, in order."""
        return list(self._ai_calls[conversation_id])

    def deliveries(self, conversation_id: str) -> list[DeliveryRecord]:
        """What the platform got for a conversation, in order, refused attempts included."""
        return list(self._deliveries[conversation_id])

    def delivered(self, conversation_id: str) -> list[DeliveryRecord]:
        """What the platform took for a conversation, in order."""
        return [it for it in self.deliveries(conversation_id) if 200 <= it.status < 300]

    def delay(self, conversation_id: str, seconds: float) -> None:
        """Let the AI take so long for a conversation."""
        self._plans[conversation_id].delay_seconds = seconds

    def plan_ai(self, conversation_id: str, *replies: Reply | dict[str, Any]) -> None:
        """Let the AI give these replies to a conversation, one after the other."""
        planned = [it if isinstance(it, tuple) else (200, it, {}) for it in replies]
        self._plans[conversation_id].ai_replies += planned

    def plan_platform(self, conversation_id: str, *replies: Reply | int) -> None:
        """Let the platform give these replies to a conversation, one after the other."""
        planned = [it if isinstance(it, tuple) else (it, {}, {}) for it in replies]
        self._plans[conversation_id].platform_replies += planned

    def hold(self, conversation_id: str) -> Callable[[], None]:
        """Let the AI not answer a conversation until the function returned here is called.

        That is so for calls that begin from now on.
        """
        released = threading.Event()
        self._plans[conversation_id].released = released
        return released.set

    async def _listen(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/process", self._answer)
        app.router.add_post("/process/{core}", self._answer)
        app.router.add_post("/api/v1/actions", self._deliver)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        conversation_id = body["conversation_id"]
        record = AiCallRecord(body, request.headers["Idempotency-Key"], time.monotonic())
        self._ai_calls[conversation_id].append(record)
        plan = self._plans[conversation_id]
        released = plan.released
        try:
            delay = self.delay_seconds if plan.delay_seconds is None else plan.delay_seconds
            await asyncio.sleep(delay + self.slowdown_seconds)
            while released is not None and not released.is_set():  # noqa: ASYNC110 (another thread)
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            record.was_cut_off = True
            record.cut_off_at = time.monotonic()
            raise
        record.ended_at = time.monotonic()
        if plan.ai_replies:
            return _response(plan.ai_replies.pop(0))
        text = f"answer to {body['message']}"
        return _response((200, {"response_text": text, "model_used": "stub"}, {}))

    async def _deliver(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = await request.json()
        conversation_id = body["conversation_id"]
        plan = self._plans[conversation_id]
        reply: Reply = (self.platform_status, {}, {})
        if plan.platform_replies:
            reply = plan.platform_replies.pop(0)
        self._deliveries[conversation_id].append(
            DeliveryRecord(
                body, raw, request.headers["Idempotency-Key"], time.monotonic(), reply[0]
            )
        )
        return _response(reply)


def _response(reply: Reply) -> web.Response:
    status, value, headers = reply
    if isinstance(value, bytes):
        return web.Response(body=value, status=status, headers=headers)
    return web.json_response(value, status=status, headers=headers)
