"""A Ray actor for each conversation: what the idea costs when it is taken literally.

Each actor is a process with a database connection and an HTTP client of its own; messages of its
conversation queue in it, so no lock is needed. ``CONVERSATIONS`` actors are made at the start
(every further conversation shares one of them: a machine has no memory for more).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import psutil
import ray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.baselines import tables
from benchmarks.baselines.http_client import open_client

__all__ = ["app"]

CONVERSATIONS = int(os.environ.get("CONVERSATIONS", "32"))
CONTEXT_MESSAGES = 20
HEADERS = {"Content-Type": "application/json"}


class Conversation:
    """One conversation in a process of its own."""

    def __init__(self, conversation_id: str, ai_url: str, platform_url: str) -> None:
        self._id = conversation_id
        self._ai_url = ai_url
        self._platform_url = platform_url
        self._client = open_client()
        self._context: list[dict[str, str]] = []
        self._one_at_a_time = asyncio.Lock()

    async def open(self, database_url: str) -> None:
        """Connect to the database."""
        self._database = await asyncpg.connect(database_url)
        await self._database.execute(tables.TOUCH_CONVERSATION, self._id, time.time())

    async def handle(self, message_id: str, content: str) -> bytes:
        """Answer one message, after those that came before it."""
        async with self._one_at_a_time:
            return await self._answer(message_id, content)

    async def _answer(self, message_id: str, content: str) -> bytes:
        database = self._database
        await database.execute(tables.ADD_MESSAGE, self._id, message_id, "user", content)
        request = {"conversation_id": self._id, "message": content, "context": self._context}
        answer = await self._post(self._ai_url, request)
        text: str = answer["response_text"]
        action_id = uuid4()
        async with database.transaction():
            await database.execute(tables.ADD_MESSAGE, self._id, str(uuid4()), "bot", text)
            await database.execute(
                tables.ADD_ACTION,
                action_id,
                self._id,
                "send_message",
                orjson.dumps(answer).decode(),
            )
        await self._post(self._platform_url, {"conversation_id": self._id, "ai_response": answer})
        await database.execute(tables.FINISH_ACTION, action_id)
        said = [{"role": "user", "content": content}, {"role": "assistant", "content": text}]
        self._context = (self._context + said)[-CONTEXT_MESSAGES:]
        return orjson.dumps(answer)

    async def _post(self, url: str, body: dict[str, Any]) -> Any:
        return orjson.loads((await self._client.post(url, content=orjson.dumps(body))).content)


actors: dict[int, Any] = {}


async def handle(request: Request) -> Response:
    """Hand one message to the actor of its conversation."""
    body = orjson.loads(await request.body())
    number = int(body["conversation_id"].rpartition("-")[2]) % CONVERSATIONS
    answer = await actors[number].handle.remote(body["message_id"], body["message_content"])
    result = {
        "status": "completed",
        "ai_response": orjson.loads(answer),
        "message_id": body["message_id"],
    }
    return Response(orjson.dumps({"success": True, "result": result}), headers=HEADERS)


async def health(_request: Request) -> Response:
    """Say that all actors run, how long it took to make one, and what memory it keeps to itself."""
    found = [it for it in psutil.Process().children(recursive=True) if _is_actor(it)]
    kept = sum(it.memory_full_info().uss for it in found)
    cost = {"start_ms": _start_seconds / CONVERSATIONS * 1000, "bytes": kept // CONVERSATIONS}
    return Response(orjson.dumps(cost), headers=HEADERS)


def _is_actor(process: psutil.Process) -> bool:
    return " ".join(process.cmdline()).startswith("ray::Conversation")


_start_seconds = 0.0


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    global _start_seconds  # noqa: PLW0603 - measured once
    database_url = os.environ["DATABASE_URL"]
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        await tables.create(pool)
    with tempfile.TemporaryDirectory(prefix="cr-") as folder:
        ray.init(_temp_dir=folder, include_dashboard=False, log_to_driver=False)
        started_at = time.monotonic()
        make = ray.remote(num_cpus=0)(Conversation).remote
        urls = (os.environ["AI_URL"] + "/process", os.environ["PLATFORM_URL"] + "/api/v1/actions")
        actors.update({number: make(f"c-{number}", *urls) for number in range(CONVERSATIONS)})
        await asyncio.gather(*(actor.open.remote(database_url) for actor in actors.values()))
        _start_seconds = time.monotonic() - started_at
        yield
        ray.shutdown()


app = Starlette(
    routes=[
        Route("/api/v1/enhanced-handle-message", handle, methods=["POST"]),
        Route("/health", health),
    ],
    lifespan=_lifespan,
)
