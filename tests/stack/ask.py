"""Short ways to say something to the running product."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

__all__ = [
    "CHAT",
    "ENHANCED",
    "Turn",
    "asked_ai",
    "cancel_conversation",
    "cancel_job",
    "chat",
    "detail",
    "enhanced",
    "final_job",
    "job_of",
    "message",
    "recorded",
    "say",
    "start_turn",
]

ENHANCED = "/api/v1/enhanced-handle-message"
CHAT = "/api/v1/chat/message"


def message(conversation_id: str, content: str = "Hello", **fields: Any) -> dict[str, Any]:
    """Return the body of a message as the platform sends it."""
    return {
        "conversation_id": conversation_id,
        "message_id": f"msg_{uuid.uuid4().hex}",
        "message_content": content,
        "sender_id": "user_1",
        "sender_type": "user",
        "timestamp": time.time(),
        **fields,
    }


async def enhanced(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """Send a message to the synchronous endpoint; return the whole answer."""
    response = await client.post(ENHANCED, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def say(
    client: httpx.AsyncClient, conversation_id: str, content: str = "Hello", **fields: Any
) -> dict[str, Any]:
    """Send a message to the synchronous endpoint; return ``result``."""
    answer = await enhanced(client, message(conversation_id, content, **fields))
    result: dict[str, Any] = answer["result"]
    return result


async def chat(
    client: httpx.AsyncClient, history: str, key: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Send a history to the asynchronous endpoint; return the answer."""
    headers = {} if key is None else {"Idempotency-Key": key}
    response = await client.post(CHAT, json={"history": history, **fields}, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def job_of(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Return a job."""
    response = await client.get(f"/api/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


async def final_job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Return a job once it is final."""

    async def final() -> dict[str, Any] | None:
        job = await job_of(client, job_id)
        return None if job["status"] in ("queued", "processing") else job

    job: dict[str, Any] = await wait_for(final, what=f"job {job_id} is final")
    return job


async def cancel_job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Cancel a job; return the answer."""
    response = await client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def cancel_conversation(admin: httpx.AsyncClient, conversation_id: str) -> dict[str, Any]:
    """Cancel what runs in a conversation; return the answer."""
    response = await admin.post(f"/api/v1/admin/conversations/{conversation_id}/cancel")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def detail(admin: httpx.AsyncClient, conversation_id: str) -> dict[str, Any]:
    """Return a conversation as the admin sees it."""
    response = await admin.get(f"/api/v1/admin/conversations/{conversation_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def asked_ai(stubs: Stubs, conversation_id: str, calls: int = 1) -> dict[str, Any]:
    """Wait until the AI was asked so often; return what it was asked last."""

    async def asked() -> bool:
        return len(stubs.ai_calls(conversation_id)) >= calls

    await wait_for(asked, what=f"the AI is asked {calls} times")
    return stubs.ai_calls(conversation_id)[calls - 1].body


@dataclass
class Turn:
    """A turn that is running: the AI has been asked and does not answer until ``finish``."""

    body: dict[str, Any]
    """The message that began it."""
    job_id: str
    caller: asyncio.Task[dict[str, Any]]
    """Ends with ``result`` as the first message's caller gets it."""
    finish: Callable[[], None]


async def start_turn(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    content: str = "first",
    **fields: Any,
) -> Turn:
    """Send a message and wait until the AI has been asked about it."""
    calls = len(stubs.ai_calls(conversation_id))
    finish = stubs.hold(conversation_id)
    body = message(conversation_id, content, **fields)

    async def result() -> dict[str, Any]:
        answer: dict[str, Any] = (await enhanced(client, body))["result"]
        return answer

    caller = asyncio.create_task(result())
    asked = await asked_ai(stubs, conversation_id, calls + 1)
    return Turn(body, asked["job_id"], caller, finish)


async def recorded(admin: httpx.AsyncClient, turn: Turn) -> None:
    """Wait until the database says that a turn runs: the AI is asked without waiting for that."""

    async def is_recorded() -> bool:
        found = await detail(admin, turn.body["conversation_id"])
        return bool(found["running_job_id"] == turn.job_id)

    await wait_for(is_recorded, what="the database says which turn runs")
