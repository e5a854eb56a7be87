"""A message goes all the way, and leaves behind what it should."""

from __future__ import annotations

import httpx

from tests.stack.ask import enhanced, job_of, message
from tests.stack.stubs import Stubs


async def test_a_message_is_answered_and_delivered_once(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    body = message(conversation_id, "Tôi muốn đặt lịch khám bệnh")

    answer = await enhanced(client, body)

    result = answer["result"]
    assert answer["success"] is True
    assert result["status"] == "completed"
    assert result["ai_response"]["response_text"] == "answer to Tôi muốn đặt lịch khám bệnh"
    assert result["message_id"] == body["message_id"]
    assert result["storage_backend"] == "Redis"
    assert result["distributed_lock_used"] is True
    (call,) = stubs.ai_calls(conversation_id)
    assert call.body["message_ids"] == [body["message_id"]]
    assert call.idempotency_key == f"{result['job_id']}.1"
    (delivery,) = stubs.deliveries(conversation_id)
    assert delivery.idempotency_key == result["job_id"]
    assert delivery.body["distributed_lock_id"] == result["lock_id"]
    job = await job_of(client, result["job_id"])
    assert job["status"] == "completed"
    assert job["message_ids"] == [body["message_id"]]
