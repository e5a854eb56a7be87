"""A message goes all the way, and leaves behind what it should."""

from __future__ import annotations

import uuid

import httpx

from tests.stack.ask import asked_ai, enhanced, job_of, message, say, start_turn
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.inside import Inside
from tests.stack.server import wait_for
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


async def test_a_running_turn_is_guarded_by_a_lease_in_redis_that_is_renewed(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    lease = await inside.lease(conversation_id)
    assert lease is not None
    row = await inside.conversation(conversation_id)
    assert row["owner"] == lease["owner"]
    assert row["lock_id"] == lease["lock_id"]

    # The AI is not kept waiting for the word that the turn began.
    async def is_under_way() -> bool:
        row = await inside.conversation(conversation_id)
        return str(row["running_job_id"]) == turn.job_id

    await wait_for(is_under_way, what="the database says which turn is under way")
    assert 0 < await inside.lease_milliseconds(conversation_id) <= LEASE_SECONDS * 1000

    left = await inside.lease_milliseconds(conversation_id)

    async def is_renewed() -> bool:
        nonlocal left
        before, left = left, await inside.lease_milliseconds(conversation_id)
        return left > before

    await wait_for(is_renewed, what="the lease is renewed")

    turn.finish()
    assert (await turn.caller)["lock_id"] == lease["lock_id"]


async def test_an_ai_call_longer_than_the_lease_is_answered_by_the_same_owner(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    stubs.delay(conversation_id, LEASE_SECONDS * 1.5)
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    assert (await inside.conversation(conversation_id))["epoch"] == 1
    assert len(stubs.ai_calls(conversation_id)) == 1
    assert len(stubs.deliveries(conversation_id)) == 1


async def test_the_commit_leaves_conversation_messages_job_and_actions(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    stubs.plan_ai(
        conversation_id,
        {
            "response_text": "Xin chào",
            "intent": "greeting",
            "confidence": 0.75,
            "entities": {"name": "An"},
            "model_used": "gpt-4",
            "actions": [
                {"type": "send_message", "data": {"message": "Xin chào"}},
                {"type": "collect_info", "data": {"fields": ["phone"]}},
            ],
        },
    )
    body = message(conversation_id, "Hello", metadata={"platform": "web"})
    result = (await enhanced(client, body))["result"]

    row = await inside.conversation(conversation_id)
    assert row["epoch"] == 1
    assert row["status"] == "active"
    assert row["running_job_id"] is None
    assert row["total_messages"] == 2
    assert row["last_message_id"] == body["message_id"]
    assert row["last_message_timestamp"] == body["timestamp"]

    asked, replied = await inside.messages(conversation_id)
    assert asked["message_id"] == body["message_id"]
    assert asked["content"] == "Hello"
    assert asked["metadata"] == {"platform": "web"}
    assert asked["position"] == 1
    assert asked["processed_at"] is not None
    assert str(asked["job_id"]) == str(asked["turn_job_id"]) == result["job_id"]
    assert replied["message_id"] is None
    assert replied["sender_type"] == "bot"
    assert replied["content"] == "Xin chào"
    assert replied["position"] == 2

    job = await inside.job(result["job_id"])
    assert job["status"] == "completed"
    assert job["intent"] == "greeting"
    assert job["confidence"] == 0.75
    assert job["model_used"] == "gpt-4"
    assert job["ai_processing_time_ms"] > 0
    assert job["queue_time_ms"] >= 0
    assert job["consolidated_messages"] == 1
    assert job["delivery_status"] == "sent"
    assert job["delivery_attempts"] == 1
    assert job["created_at"] <= job["started_at"] <= job["committed_at"] <= job["finished_at"]

    actions = await inside.actions(conversation_id)
    assert [it["action_type"] for it in actions] == ["send_message", "collect_info"]
    assert [it["status"] for it in actions] == ["sent", "sent"]
    assert [it["retry_count"] for it in actions] == [0, 0]
    assert all(isinstance(it["id"], uuid.UUID) for it in [row, asked, replied, job, *actions])


async def test_the_next_turn_knows_what_was_said(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await say(client, conversation_id, "one")
    await say(client, conversation_id, "two")
    first, second = stubs.ai_calls(conversation_id)
    assert first.body["context"] == []
    assert second.body["context"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "answer to one"},
    ]


async def test_conversations_do_not_wait_for_one_another(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    for number in range(4):
        result = await say(client, f"{conversation_id}_{number}")
        assert result["status"] == "completed"
    assert not turn.caller.done()
    turn.finish()
    assert (await turn.caller)["status"] == "completed"


async def test_the_lease_is_taken_before_the_ai_is_asked_and_another_owner_is_respected(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    await inside.hold_lease(conversation_id, owner="elsewhere#1", cluster="far", seconds=2)
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    # It was answered only once the other's lease had lapsed.
    assert (await asked_ai(stubs, conversation_id))["job_id"] == result["job_id"]
    assert len(stubs.deliveries(conversation_id)) == 1
    lease = await inside.lease(conversation_id)
    assert lease is not None
    assert lease["owner"] != "elsewhere#1"
