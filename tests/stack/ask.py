"""Short ways to say something to the running product."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx

__all__ = ["enhanced", "job_of", "message", "say"]

ENHANCED = "/api/v1/enhanced-handle-message"


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


async def job_of(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Return a job."""
    response = await client.get(f"/api/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job
