"""A lock for each request: how such services are usually built.

FastAPI handles a message from beginning to end in its request: a lock in Redis, the state of the
conversation from Redis, the AI, then row by row into PostgreSQL, the platform, the state back, the
lock released. ``TUNED=1`` keeps one HTTP client over the aiohttp transport; without it each message
has one of its own with httpx's default transport, as the shortest way to write it does.

It promises less than the product: a message that comes while the lock is held is turned away, what
is under way in a process that dies is lost, and a late owner can still write.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import orjson
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import ConnectionPool, Redis

from benchmarks.baselines import tables
from benchmarks.baselines.http_client import open_client

__all__ = ["app"]

AI_URL = os.environ["AI_URL"] + "/process"
PLATFORM_URL = os.environ["PLATFORM_URL"] + "/api/v1/actions"
IS_TUNED = os.environ.get("TUNED") == "1"
LOCK_SECONDS = 30
TIMEOUT_SECONDS = 30
STATE_SECONDS = 3600
CONTEXT_MESSAGES = 20
REDIS_CONNECTIONS = 1000
DATABASE_CONNECTIONS = 20


class MessageRequest(BaseModel):
    """A message as the platform sends it."""

    conversation_id: str
    message_id: str
    message_content: str
    sender_id: str
    sender_type: str = "user"
    timestamp: float
    metadata: dict[str, Any] | None = None


class Services:
    """The connections of one process."""

    def __init__(self, redis: Redis, database: asyncpg.Pool, client: httpx.AsyncClient) -> None:
        self.redis = redis
        self.database = database
        self._client = client

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend a client for one message."""
        if IS_TUNED:
            yield self._client
        else:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
                yield client


services: Services


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    global services  # noqa: PLW0603 - as such services do
    pool = ConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=REDIS_CONNECTIONS)
    async with (
        asyncpg.create_pool(
            os.environ["DATABASE_URL"], min_size=1, max_size=DATABASE_CONNECTIONS
        ) as database,
        open_client() as client,
    ):
        await tables.create(database)
        services = Services(Redis.from_pool(pool), database, client)
        yield
        await services.redis.aclose()


async def health() -> dict[str, str]:
    """Say that it runs."""
    return {"status": "healthy"}


async def handle(message: MessageRequest) -> dict[str, Any]:
    """Answer one message, unless another of its conversation is being answered."""
    started_at = time.time()
    lock = services.redis.lock(f"lock:{message.conversation_id}", timeout=LOCK_SECONDS)
    if not await lock.acquire(blocking=False):
        return {"success": True, "result": {"status": "locked"}}
    try:
        async with services.http() as client:
            result = await _process(message, client)
    finally:
        await lock.release()
    elapsed_ms = (time.time() - started_at) * 1000
    return {
        "success": True,
        "result": result,
        "timestamp": started_at,
        "processing_time_ms": elapsed_ms,
    }


async def _process(message: MessageRequest, client: httpx.AsyncClient) -> dict[str, Any]:
    conversation_id = message.conversation_id
    key = f"state:{conversation_id}"
    stored = await services.redis.get(key)
    state = orjson.loads(stored) if stored else {"context": []}
    state |= {"last_message_id": message.message_id, "ai_processing": True}
    await services.redis.set(key, orjson.dumps(state), ex=STATE_SECONDS)

    database = services.database
    await database.execute(tables.TOUCH_CONVERSATION, conversation_id, message.timestamp)
    await database.execute(
        tables.ADD_MESSAGE, conversation_id, message.message_id, "user", message.message_content
    )
    request = {"message": message.message_content, "context": state["context"]}
    asked = await client.post(AI_URL, json={"conversation_id": conversation_id, **request})
    answer = asked.json()
    action = {"type": "send_message", "data": {"message": answer["response_text"]}}
    action_id = uuid.uuid4()
    await database.execute(
        tables.ADD_ACTION, action_id, conversation_id, action["type"], orjson.dumps(action).decode()
    )
    delivery = {"conversation_id": conversation_id, "ai_response": answer, "actions": [action]}
    delivered = await client.post(PLATFORM_URL, json=delivery)
    await database.execute(tables.FINISH_ACTION, action_id)
    await database.execute(
        tables.ADD_MESSAGE, conversation_id, str(uuid.uuid4()), "bot", answer["response_text"]
    )
    said = [
        {"role": "user", "content": message.message_content},
        {"role": "assistant", "content": answer["response_text"]},
    ]
    state["context"] = (state["context"] + said)[-CONTEXT_MESSAGES:]
    state["ai_processing"] = False
    await services.redis.set(key, orjson.dumps(state), ex=STATE_SECONDS)
    return {
        "status": "completed",
        "ai_response": answer,
        "extracted_actions": [action],
        "pancake_result": delivered.json(),
        "message_id": message.message_id,
    }


app = FastAPI(lifespan=_lifespan)
app.add_api_route("/health", health)
app.add_api_route("/api/v1/enhanced-handle-message", handle, methods=["POST"])
