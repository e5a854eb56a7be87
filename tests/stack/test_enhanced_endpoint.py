"""``POST /api/v1/enhanced-handle-message``: what is asked, what is answered, what is recorded."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import pytest

from tests.stack.ask import asked_ai, detail, enhanced, final_job, job_of, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.stubs import Stubs

ANSWER = {
    "response_text": "Tôi sẽ giúp bạn đặt lịch khám bệnh.",
    "intent": "book_appointment",
    "confidence": 0.95,
    "entities": {"service_type": "medical_checkup"},
    "model_used": "gpt-4",
    "actions": [
        {"type": "send_message", "data": {"message": "Tôi sẽ giúp bạn đặt lịch khám bệnh."}},
        {"type": "collect_info", "data": {"fields": ["date"]}},
    ],
}


async def test_the_answer_has_every_field_of_the_contract(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, ANSWER)
    body = message(conversation_id)
    before = time.time()

    answer = await enhanced(client, body)

    assert set(answer) == {"success", "result", "timestamp", "processing_time_ms"}
    assert answer["success"] is True
    assert before <= answer["timestamp"] <= time.time()
    assert answer["processing_time_ms"] > 0
    result = answer["result"]
    milliseconds = result["ai_response"].pop("processing_time_ms")
    assert 0 < milliseconds < answer["processing_time_ms"]
    job_id, lock_id = result.pop("job_id"), result.pop("lock_id")
    assert str(uuid.UUID(job_id)) == job_id
    assert str(uuid.UUID(lock_id)) == lock_id
    assert result == {
        "status": "completed",
        "ai_response": {
            "response_text": ANSWER["response_text"],
            "intent": "book_appointment",
            "confidence": 0.95,
            "entities": {"service_type": "medical_checkup"},
            "model_used": "gpt-4",
        },
        "extracted_actions": ANSWER["actions"],
        "pancake_result": {"status": "success", "actions_executed": 2},
        "message_id": body["message_id"],
        "storage_backend": "Redis",
        "distributed_lock_used": True,
        "consolidated_messages": 1,
        "duplicate": False,
    }


async def test_the_ai_is_told_everything(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    attachments = [{"type": "image", "url": "https://example.test/ảnh.png"}]
    metadata = {"platform": "web", "bot_id": bots["described"], "deep": {"er": [1, None]}}
    body = message(
        conversation_id, "hello", sender_id="user_7", metadata=metadata, attachments=attachments
    )

    result = (await enhanced(client, body))["result"]

    (call,) = stubs.ai_calls(conversation_id)
    assert call.body == {
        "conversation_id": conversation_id,
        "job_id": result["job_id"],
        "message": "hello",
        "messages": [
            {
                "message_id": body["message_id"],
                "content": "hello",
                "timestamp": body["timestamp"],
                "sender_id": "user_7",
                "attachments": attachments,
            }
        ],
        "message_ids": [body["message_id"]],
        "context": [],
        "bot": {
            "bot_id": "described",
            "name": "Clinic",
            "model": "model-1",
            "system_prompt": "Be kind.",
            "settings": {"temperature": 0.5},
        },
        "metadata": metadata,
    }


async def test_the_platform_is_told_everything(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, ANSWER)
    before = time.time()
    body = message(conversation_id)
    result = (await enhanced(client, body))["result"]

    (delivery,) = stubs.deliveries(conversation_id)
    sent_at = delivery.body.pop("timestamp")
    assert before <= sent_at <= time.time()
    assert delivery.body == {
        "conversation_id": conversation_id,
        "ai_response": result["ai_response"],
        "actions": result["extracted_actions"],
        "distributed_lock_id": result["lock_id"],
        "job_id": result["job_id"],
        "message_ids": [body["message_id"]],
    }
    assert delivery.idempotency_key == result["job_id"]


async def test_a_message_of_attachments_alone_is_answered(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    result = await say(client, conversation_id, "", attachments=[{"type": "image"}])
    assert result["status"] == "completed"
    assert (await asked_ai(stubs, conversation_id))["messages"][0]["attachments"] == [
        {"type": "image"}
    ]


@pytest.mark.parametrize("attachments", [None, []])
async def test_an_empty_message_is_recorded(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, attachments: Any
) -> None:
    body = message(conversation_id, "", attachments=attachments)
    answer = await enhanced(client, body)
    result = answer["result"]
    assert answer["success"] is True
    assert result["status"] == "recorded"
    assert result["reason"] == "empty_message"
    assert result["message_id"] == body["message_id"]
    job = await job_of(client, result["job_id"])
    assert (job["status"], job["reason"], job["result"]) == ("completed", "empty_message", None)
    assert stubs.ai_calls(conversation_id) == []


@pytest.mark.parametrize("sender_type", ["agent", "bot", "system"])
async def test_only_users_are_answered(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, sender_type: str
) -> None:
    result = await say(client, conversation_id, sender_type=sender_type)
    assert result["status"] == "recorded"
    assert result["reason"] == "not_from_user"
    job = await job_of(client, result["job_id"])
    assert (job["status"], job["reason"]) == ("completed", "not_from_user")
    assert stubs.ai_calls(conversation_id) == []
    assert stubs.deliveries(conversation_id) == []


async def test_a_recorded_message_sent_again_is_a_duplicate_that_is_recorded(
    client: httpx.AsyncClient, conversation_id: str
) -> None:
    body = message(conversation_id, sender_type="agent")
    first = (await enhanced(client, body))["result"]
    second = (await enhanced(client, body))["result"]
    assert second == {**first, "duplicate": True}


async def test_the_context_has_the_role_of_each_sender(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await say(client, conversation_id, "from the system", sender_type="system")
    await say(client, conversation_id, "from a person", sender_type="agent")
    await say(client, conversation_id, "from a bot", sender_type="bot")
    await say(client, conversation_id, "first")
    await say(client, conversation_id, "", sender_type="user")
    await say(client, conversation_id, "second")
    assert stubs.ai_calls(conversation_id)[1].body["context"] == [
        {"role": "system", "content": "from the system"},
        {"role": "assistant", "content": "from a person"},
        {"role": "assistant", "content": "from a bot"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer to first"},
    ]
    assert (await detail(admin, conversation_id))["context_size"] == 7


async def test_the_ai_gets_no_more_context_than_the_bot_says(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    for content in ("one", "two", "three"):
        await say(client, conversation_id, content, metadata={"bot_id": bots["short"]})
    assert stubs.ai_calls(conversation_id)[2].body["context"] == [
        {"role": "assistant", "content": "answer to one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "answer to two"},
    ]


async def test_the_context_survives_another_owner(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await say(client, conversation_id, "one")
    await admin.post(f"/api/v1/admin/conversations/{conversation_id}/cancel")
    await say(client, conversation_id, "two")
    assert [it["content"] for it in stubs.ai_calls(conversation_id)[1].body["context"]] == [
        "one",
        "answer to one",
    ]


async def test_a_disabled_bot_records(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    result = await say(client, conversation_id, metadata={"bot_id": bots["disabled"]})
    assert (result["status"], result["reason"]) == ("recorded", "bot_disabled")
    assert stubs.ai_calls(conversation_id) == []


async def test_a_merged_turn_is_ordered_by_timestamp_then_acceptance(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    now = time.time()
    for content, timestamp in (("c", now + 2), ("a", now), ("b", now + 1), ("b2", now + 1)):
        answer = await say(client, conversation_id, content, timestamp=timestamp)
        assert answer["status"] == "locked"
    turn.finish()
    assert (await asked_ai(stubs, conversation_id, 2))["message"] == "a\nb\nb2\nc"
    await turn.caller


@pytest.mark.parametrize(
    "odd", ["a/b", "a b", "ü?&#", "%2F", "'; drop table messages; --", "\u202e\n", "x" * 255]
)
async def test_ids_may_hold_any_character(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, odd: str
) -> None:
    unique = uuid.uuid4().hex
    conversation_id = (unique + odd)[:255]
    body = message(conversation_id, message_id=(unique + odd)[:255])
    result = (await enhanced(client, body))["result"]
    assert result["status"] == "completed"
    assert result["message_id"] == body["message_id"]
    assert (await final_job(client, result["job_id"]))["message_ids"] == [body["message_id"]]
    encoded = httpx.URL("http://x").copy_with(params={"q": conversation_id})
    path = str(encoded).partition("?q=")[2].replace("+", "%20")
    found = await admin.get(f"/api/v1/admin/conversations/{path}")
    assert found.json()["conversation_id"] == conversation_id


@pytest.mark.parametrize("timestamp", [0, 253402300799, 1699123456, 1699123456.789])
async def test_timestamps_at_the_bounds_are_taken(
    client: httpx.AsyncClient, conversation_id: str, inside: Inside, timestamp: float
) -> None:
    result = await say(client, conversation_id, timestamp=timestamp)
    assert result["status"] == "completed"
    row = await inside.conversation(conversation_id)
    assert row["last_message_timestamp"] == timestamp


async def test_the_longest_content_is_answered(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    content = "ộ" * 32_768
    stubs.plan_ai(conversation_id, {"response_text": "long"})
    assert (await say(client, conversation_id, content))["status"] == "completed"
    assert stubs.ai_calls(conversation_id)[0].body["message"] == content


async def test_unknown_fields_and_null_options_are_ignored(
    client: httpx.AsyncClient, conversation_id: str
) -> None:
    result = await say(
        client, conversation_id, metadata=None, attachments=None, something={"else": 1}
    )
    assert result["status"] == "completed"


async def test_a_caller_that_goes_away_changes_nothing(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    turn.caller.cancel()
    turn.finish()
    job = await final_job(client, turn.job_id)
    assert job["status"] == "completed"
    assert len(stubs.deliveries(conversation_id)) == 1
    again = (await enhanced(client, turn.body))["result"]
    assert (again["status"], again["duplicate"]) == ("completed", True)


async def test_what_is_recorded_during_a_turn_is_in_the_context_of_the_next(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    note = await say(client, conversation_id, "note", sender_type="system")
    assert note["status"] == "recorded"
    turn.finish()
    assert (await turn.caller)["status"] == "completed"
    await say(client, conversation_id, "second")
    context = stubs.ai_calls(conversation_id)[1].body["context"]
    assert sorted(it["content"] for it in context) == ["answer to first", "first", "note"]
