"""What the earlier documents show works as it is written there, with our paths and tokens."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import uuid
from typing import Any

import httpx
import orjson
import pytest

from tests.stack.ask import CHAT, ENHANCED, enhanced, final_job, say
from tests.stack.inside import Inside
from tests.stack.server import ADMIN_TOKEN, MESSAGES_TOKEN, Server
from tests.stack.stubs import Stubs

ENHANCED_REQUEST = """
{
  "conversation_id": "conv_12345",
  "message_id": "msg_67890",
  "message_content": "Tôi muốn đặt lịch khám bệnh",
  "sender_id": "user_123",
  "sender_type": "user",
  "timestamp": 1699123456.789,
  "metadata": {
    "platform": "web",
    "user_agent": "Mozilla/5.0..."
  }
}
"""
CHAT_REQUEST = """
{
  "conversation_id": "optional-uuid-string",
  "history": "<USER>Hello, how are you?</USER><br><BOT>I'm doing well!</BOT><br>",
  "resources": {
    "user_id": "123",
    "session_type": "web",
    "additional_context": "any value"
  }
}
"""
RECENT_CONVERSATIONS = """
-- Recent conversations
SELECT conversation_id, last_message_timestamp, total_messages
FROM conversations
ORDER BY last_message_timestamp DESC
LIMIT 10;
"""
ACTION_STATISTICS = """
-- Action statistics
SELECT action_type, COUNT(*), AVG(retry_count)
FROM message_actions
GROUP BY action_type;
"""


def _shell(server: Server, command: str) -> str:
    """Run a command of the documents, which speak of port 8000."""
    environment = {
        "PATH": os.environ["PATH"],
        "PANCAKE_ACCESS_TOKEN": MESSAGES_TOKEN,
        "ADMIN_ACCESS_TOKEN": ADMIN_TOKEN,
    }
    command = command.replace("curl ", "curl -sS --fail-with-body ")
    return subprocess.run(
        ["bash", "-c", command.replace("http://localhost:8000", server.url)],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    ).stdout


async def _run(server: Server, command: str) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(await asyncio.to_thread(_shell, server, command))
    return answer


async def test_the_request_of_the_first_document(client: httpx.AsyncClient, stubs: Stubs) -> None:
    response = await client.post(
        ENHANCED, content=ENHANCED_REQUEST.encode(), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 200
    answer = response.json()
    assert answer["success"] is True
    assert (
        answer["result"].items()
        >= {
            "status": "completed",
            "message_id": "msg_67890",
            "storage_backend": "Redis",
            "distributed_lock_used": True,
        }.items()
    )
    assert set(answer["result"]["ai_response"]) >= {
        "response_text",
        "intent",
        "confidence",
        "entities",
        "processing_time_ms",
        "model_used",
    }
    (delivery,) = stubs.deliveries("conv_12345")
    assert set(delivery.body) >= {
        "conversation_id",
        "ai_response",
        "actions",
        "timestamp",
        "distributed_lock_id",
    }


async def test_the_request_of_the_second_document(client: httpx.AsyncClient, stubs: Stubs) -> None:
    response = await client.post(
        CHAT, content=CHAT_REQUEST.encode(), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 200
    answer = response.json()
    job_id, lock_id = answer["ai_job_id"], answer["lock_id"]
    assert str(uuid.UUID(job_id)) == job_id
    assert str(uuid.UUID(lock_id)) == lock_id
    assert (
        answer.items()
        >= {
            "success": True,
            "status": "ai_processing_started",
            "message": "Message received and AI processing started",
            "error": None,
            "action": "lock_acquired",
            "consolidated_messages": 1,
            "bot_name": "Default Bot",
        }.items()
    )
    assert (await final_job(client, job_id))["status"] == "completed"
    (call,) = stubs.ai_calls("optional-uuid-string")
    assert call.body["message"] == "Hello, how are you?"
    assert call.body["context"] == [{"role": "assistant", "content": "I'm doing well!"}]


async def test_health_check(server: Server) -> None:
    health = await _run(
        server,
        """curl -H "Authorization: Bearer $ADMIN_ACCESS_TOKEN" \\
     http://localhost:8000/api/v1/admin/health""",
    )
    assert health["status"] == "healthy"
    assert health["redis_status"] == "connected"


async def test_statistics(server: Server) -> None:
    statistics = await _run(
        server,
        """curl -H "Authorization: Bearer $ADMIN_ACCESS_TOKEN" \\
     http://localhost:8000/api/v1/admin/stats""",
    )
    assert set(statistics["redis_stats"]) >= {
        "connected_clients",
        "used_memory_human",
        "keyspace_hits",
        "keyspace_misses",
    }


async def test_force_release_locks(
    server: Server, client: httpx.AsyncClient, conversation_id: str
) -> None:
    await say(client, conversation_id)
    answer = await _run(
        server,
        """curl -X POST -H "Authorization: Bearer $ADMIN_ACCESS_TOKEN" \\
     http://localhost:8000/api/v1/admin/conversations/{id}/cancel""".replace(
            "{id}", conversation_id
        ),
    )
    assert answer["success"] is True
    assert answer["conversation_id"] == conversation_id


@pytest.mark.parametrize("prefix", ["/api/v1/admin", "/admin"])
async def test_clean_up_old_data(server: Server, prefix: str) -> None:
    answer = await _run(
        server,
        """curl -X POST -H "Authorization: Bearer $ADMIN_ACCESS_TOKEN" \\
     http://localhost:8000/api/v1/admin/system/cleanup?max_age_hours=24""".replace(
            "/api/v1/admin", prefix
        ),
    )
    assert answer["success"] is True
    assert answer["max_age_hours"] == 24


async def test_application_health_and_handler_status(server: Server) -> None:
    assert await _run(server, "curl http://localhost:8000/health") == {"status": "healthy"}
    status = await _run(server, "curl http://localhost:8000/api/v1/status/handler")
    assert status["initialized"] is True
    assert status["status"] == "healthy"


async def test_recent_conversations_by_sql(
    client: httpx.AsyncClient, inside: Inside, conversation_id: str
) -> None:
    body = {
        **orjson.loads(ENHANCED_REQUEST),
        "conversation_id": conversation_id,
        "timestamp": 253402300799,
    }
    await enhanced(client, body)
    rows = await inside.rows(RECENT_CONVERSATIONS)
    assert 1 <= len(rows) <= 10
    newest = {it["conversation_id"]: it for it in rows}[conversation_id]
    assert newest["last_message_timestamp"] == 253402300799
    assert newest["total_messages"] == 2


async def test_action_statistics_by_sql(
    client: httpx.AsyncClient, inside: Inside, conversation_id: str
) -> None:
    await say(client, conversation_id)
    rows = {it["action_type"]: it for it in await inside.rows(ACTION_STATISTICS)}
    assert rows["send_message"]["count"] >= 1
    assert rows["send_message"]["avg"] >= 0


async def test_a_job_is_made_at_once(client: httpx.AsyncClient, stubs: Stubs) -> None:
    # "Message Processing: Immediate response (non-blocking)", "AI Job Creation: < 50ms".
    seconds = []
    for _ in range(8):
        conversation_id = str(uuid.uuid4())
        finish = stubs.hold(conversation_id)
        started = time.monotonic()
        response = await client.post(
            CHAT, json={"conversation_id": conversation_id, "history": "<USER>Hello</USER>"}
        )
        seconds.append(time.monotonic() - started)
        assert response.json()["ai_job_id"]
        finish()
    assert min(seconds) < 0.25
