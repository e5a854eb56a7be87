"""A server for the chat that says what a test has written down, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web

TOKEN = "messages-token-0123"

JOB_1 = "01a204fc-2257-7e8d-a0d3-004311111111"
JOB_2 = "01a204fc-2257-7e8d-a0d3-004322222222"


def answered(text: str, **fields: Any) -> dict[str, Any]:
    """Return the parts of a turn's outcome."""
    return {
        "ai_response": {
            "response_text": text,
            "intent": fields.get("intent"),
            "processing_time_ms": 1234.5,
            "model_used": fields.get("model"),
        },
        "extracted_actions": fields.get(
            "actions", [{"type": "send_message", "data": {"message": text}}]
        ),
        "pancake_result": {"status": fields.get("delivery", "success"), "actions_executed": 1},
    }


def job(job_id: str, status: str, **fields: Any) -> dict[str, Any]:
    """Return a job as the server shows it."""
    return {
        "job_id": job_id,
        "status": status,
        "reason": None,
        "superseded_by": None,
        "consolidated_messages": 1,
        "result": None,
        **fields,
    }


class TerminalServer:
    """``answers`` are given to messages in their order; an int is a status, None a broken line."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[dict[str, Any] | int | None] = []
        self.bodies: list[dict[str, Any]] = []
        self.hold: dict[str, asyncio.Event] = {}
        """A message with this text is answered when the event is set."""
        self.streams: defaultdict[str, list[list[dict[str, Any]]]] = defaultdict(list)
        """What each connection to a job's events brings."""
        self.opened: defaultdict[str, int] = defaultdict(int)

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator[Self]:
        """Listen on a free port."""
        server = cls()
        app = web.Application()
        app.router.add_post("/api/v1/enhanced-handle-message", server._take)
        app.router.add_get("/api/v1/jobs/{job_id}", server._show)
        app.router.add_get("/api/v1/jobs/{job_id}/events", server._stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        try:
            yield server
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if not _has_token(request):
            return _error(401, "The token is not valid")
        body = await request.json()
        self.bodies.append(body)
        answer = self.answers.pop(0)
        held = self.hold.get(body["message_content"])
        if held is not None:
            await held.wait()
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(answer, int):
            return _error(answer, "Not now", {"Retry-After": "0"})
        return web.json_response({"success": True, "result": answer})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return _error(404, "No such job") if _has_token(request) else _error(401, "No")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job_id"]
        self.opened[job_id] += 1
        if not self.streams[job_id]:
            return _error(404, "No such job")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": heartbeat\n\n")
        for state in self.streams[job_id].pop(0):
            await response.write(f"event: status\ndata: {json.dumps(state)}\n\n".encode())
        return response


def _has_token(request: web.Request) -> bool:
    return request.headers.get("Authorization") == f"Bearer {TOKEN}"


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"success": False, "status": "error", "error": text, "details": []}
    return web.json_response(body, status=status, headers=headers)
