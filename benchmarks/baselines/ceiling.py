"""The least that answering a message can cost in Python: two calls, nothing stored.

Bare Starlette, and httpx over the aiohttp transport. Nobody who stores anything gets there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.baselines.http_client import open_client

__all__ = ["app"]

AI_URL = os.environ["AI_URL"] + "/process"
PLATFORM_URL = os.environ["PLATFORM_URL"] + "/api/v1/actions"


async def handle(request: Request) -> Response:
    """Answer one message."""
    body = orjson.loads(await request.body())
    client: httpx.AsyncClient = request.state.client
    content = {"conversation_id": body["conversation_id"], "message": body["message_content"]}
    answer = await client.post(AI_URL, content=orjson.dumps(content), headers=HEADERS)
    ai_response = orjson.loads(answer.content)
    delivery = {"conversation_id": body["conversation_id"], "ai_response": ai_response}
    await client.post(PLATFORM_URL, content=orjson.dumps(delivery), headers=HEADERS)
    result = {
        "status": "completed",
        "ai_response": ai_response,
        "message_id": body["message_id"],
    }
    return Response(orjson.dumps({"success": True, "result": result}), headers=HEADERS)


async def health(_request: Request) -> Response:
    """Say that it runs."""
    return Response(b"{}", headers=HEADERS)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with open_client() as client:
        yield {"client": client}


HEADERS = {"Content-Type": "application/json"}
app = Starlette(
    routes=[
        Route("/api/v1/enhanced-handle-message", handle, methods=["POST"]),
        Route("/health", health),
    ],
    lifespan=_lifespan,
)
