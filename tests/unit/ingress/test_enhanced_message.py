from __future__ import annotations

import time
import uuid
from typing import Any

import orjson
import pytest

from actors.outcome import NewerMessage, OutcomeKind
from storage.records import AcceptOutcome, JobStatus
from tests.unit.ingress.conftest import ENHANCED, World
from tests.unit.ingress.fakes import job

RESULT = {
    "ai_response": {
        "response_text": "Tôi sẽ giúp bạn đặt lịch khám bệnh.",
        "intent": "book_appointment",
        "confidence": 0.95,
        "entities": {"service_type": "medical_checkup"},
        "processing_time_ms": 1234.5,
        "model_used": "gpt-4",
    },
    "extracted_actions": [{"type": "send_message", "data": {"message": "…"}}],
    "pancake_result": {"status": "success", "actions_executed": 2},
}
RESULT_TEXT = orjson.dumps(RESULT).decode()
JOB = "550e8400-e29b-41d4-a716-446655440000"


async def result_of(world: World, body: dict[str, Any], success: bool = True) -> dict[str, Any]:
    answer = await world.post(ENHANCED, body)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert set(document) == {"success", "result", "timestamp", "processing_time_ms"}
    assert document["success"] is success
    assert abs(document["timestamp"] - time.time()) < 5
    assert document["processing_time_ms"] >= 0
    result: dict[str, Any] = document["result"]
    return result


async def test_a_completed_turn(world: World, enhanced_body: dict[str, Any]) -> None:
    world.gateway.will_say(OutcomeKind.STARTED, job_id=JOB)
    world.gateway.will_say(
        OutcomeKind.COMPLETED, job_id=JOB, lock_id="l", result=RESULT_TEXT, consolidated_messages=2
    )
    assert await result_of(world, enhanced_body) == {
        "status": "completed",
        **RESULT,
        "message_id": "msg_67890",
        "storage_backend": "Redis",
        "distributed_lock_used": True,
        "job_id": JOB,
        "lock_id": "l",
        "consolidated_messages": 2,
        "duplicate": False,
    }


async def test_the_message_is_stored_as_it_came(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    enhanced_body["metadata"]["bot_id"] = "sales"
    enhanced_body["attachments"] = [{"type": "image", "url": "x"}]
    await result_of(world, {**enhanced_body, "unknown": 1})
    (message,) = world.gateway.accepted
    assert message.conversation_id == "conv_12345"
    assert message.message_id == "msg_67890"
    assert uuid.UUID(message.job_id).version == 7
    assert (message.sender_id, message.sender_type) == ("user_123", "user")
    assert message.content == enhanced_body["message_content"]
    assert message.timestamp == 1699123456.789
    assert message.bot_id == "sales"
    assert orjson.loads(message.metadata or "") == enhanced_body["metadata"]
    assert orjson.loads(message.attachments or "") == enhanced_body["attachments"]
    assert (message.digest, message.parts, message.context) == (None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": None},
        {"metadata": {"bot_id": None}},
        {"attachments": None},
        {"attachments": []},
        {"timestamp": 0},
        {"timestamp": 253402300799},
        {"message_content": ""},
        {"message_content": "😀" * 32_768},
        {"conversation_id": "ñ" * 255},
        {"sender_type": "agent"},
        {"sender_type": "bot"},
        {"sender_type": "system"},
    ],
)
async def test_what_is_within_bounds_is_taken(
    world: World, enhanced_body: dict[str, Any], changes: dict[str, Any]
) -> None:
    await result_of(world, {**enhanced_body, **changes})
    (message,) = world.gateway.accepted
    assert message.bot_id == "default"


async def test_it_is_listened_for_before_it_is_routed(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    await result_of(world, enhanced_body)
    key = ("conv_12345", "msg_67890")
    assert world.gateway.calls == [("expect", *key), ("route", *key), ("forget", *key)]


async def test_a_queued_message_is_locked(world: World, enhanced_body: dict[str, Any]) -> None:
    world.gateway.will_say(OutcomeKind.LOCKED, job_id=JOB, queued=True)
    assert await result_of(world, enhanced_body) == {
        "status": "locked",
        "reason": "processing_in_progress",
        "storage_backend": "Redis",
        "message_id": "msg_67890",
        "queued": True,
        "job_id": JOB,
        "duplicate": False,
    }


async def test_a_rejected_message_is_locked_and_has_no_job(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.will_say(OutcomeKind.LOCKED, job_id=None, queued=False)
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["queued"], result["job_id"]) == ("locked", False, None)


@pytest.mark.parametrize("result_text", [RESULT_TEXT, None])
async def test_restart_needed(
    world: World, enhanced_body: dict[str, Any], result_text: str | None
) -> None:
    world.gateway.will_say(
        OutcomeKind.RESTART_NEEDED,
        job_id=JOB,
        result=result_text,
        newer_messages=[NewerMessage(message_id="msg_67891", timestamp=1699123457.789)],
        restart_job_id="next",
    )
    result = await result_of(world, enhanced_body)
    assert result["status"] == "restart_needed"
    assert result["newer_messages"] == [{"message_id": "msg_67891", "timestamp": 1699123457.789}]
    assert result["current_result"] == (RESULT if result_text else None)
    assert result["restart_job_id"] == "next"


@pytest.mark.parametrize("reason", ["ai_timeout", "cancelled", "agent_replied"])
async def test_a_failed_turn_is_no_success(
    world: World, enhanced_body: dict[str, Any], reason: str
) -> None:
    world.gateway.will_say(OutcomeKind.FAILED, job_id=JOB, reason=reason)
    result = await result_of(world, enhanced_body, success=False)
    assert (result["status"], result["reason"], result["job_id"]) == ("failed", reason, JOB)
    assert result["message_id"] == "msg_67890"


async def test_a_recorded_message_says_why(world: World, enhanced_body: dict[str, Any]) -> None:
    world.gateway.will_say(OutcomeKind.RECORDED, job_id=JOB, reason="with_agent")
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["reason"], result["job_id"]) == ("recorded", "with_agent", JOB)


async def test_at_the_end_of_the_wait_it_is_processing(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    started = time.monotonic()
    result = await result_of(world, enhanced_body)
    assert time.monotonic() - started >= world.settings.response_wait_seconds
    assert result == {
        "status": "processing",
        "message_id": "msg_67890",
        "storage_backend": "Redis",
        "job_id": world.gateway.accepted[0].job_id,
        "duplicate": False,
    }


async def test_without_a_wait_it_is_handed_on_all_the_same(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    async with world.client_with(response_wait_seconds=0.0) as client:
        headers = {"Authorization": "Bearer admin-token-0123"}
        answer = await client.post(ENHANCED, json=enhanced_body, headers=headers)
    assert answer.json()["result"]["status"] == "processing"
    assert len(world.gateway.routed) == 1


async def test_after_silence_the_database_is_asked(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.has_instant_silence = True
    world.gateway.answer = {"job_id": JOB}
    world.store.jobs[JOB] = job(JOB, result=RESULT_TEXT, consolidated_messages=3)
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["consolidated_messages"]) == ("completed", 3)
    assert result["ai_response"] == RESULT["ai_response"]
    assert len(world.gateway.waits) == 1


async def test_a_message_that_is_gone_is_looked_up_until_it_is_final(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.answer = {"job_id": JOB}
    world.store.jobs[JOB] = job(JOB, JobStatus.PROCESSING)
    world.gateway.will_say(OutcomeKind.GONE)
    world.gateway.will_say(OutcomeKind.GONE)
    result = await result_of(world, enhanced_body)
    assert result["status"] == "processing"
    assert ("job", JOB) in world.store.calls
    assert len(world.gateway.outcomes) == 1, "a second GONE must not make it look again at once"


async def test_a_database_that_is_away_is_no_refusal_once_it_is_stored(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.will_say(OutcomeKind.GONE)
    world.store.is_away = True
    assert (await result_of(world, enhanced_body))["status"] == "processing"


def duplicate_of(world: World, status: JobStatus, job_id: str = JOB) -> None:
    world.gateway.answer = {
        "outcome": AcceptOutcome.DUPLICATE,
        "job_id": job_id,
        "job_status": status,
    }


async def test_a_duplicate_of_an_answered_message_gets_the_stored_answer(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    duplicate_of(world, JobStatus.COMPLETED)
    world.store.jobs[JOB] = job(JOB, result=RESULT_TEXT, consolidated_messages=2)
    assert await result_of(world, enhanced_body) == {
        "status": "completed",
        **RESULT,
        "message_id": "msg_67890",
        "storage_backend": "Redis",
        "distributed_lock_used": True,
        "job_id": JOB,
        "lock_id": "lock",
        "consolidated_messages": 2,
        "duplicate": True,
    }
    assert world.gateway.routed == [], "a final message is handed to nobody"


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_a_duplicate_of_a_failed_message_fails(
    world: World, enhanced_body: dict[str, Any], status: JobStatus
) -> None:
    duplicate_of(world, status)
    world.store.jobs[JOB] = job(JOB, status, reason="ai_error")
    result = await result_of(world, enhanced_body, success=False)
    assert (result["status"], result["reason"]) == ("failed", "ai_error")
    assert result["duplicate"] is True


async def test_a_duplicate_of_a_recorded_message_is_recorded(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    duplicate_of(world, JobStatus.COMPLETED)
    world.store.jobs[JOB] = job(JOB, reason="with_agent")
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["reason"]) == ("recorded", "with_agent")
    assert result["duplicate"] is True


async def test_a_rejected_duplicate_is_locked(world: World, enhanced_body: dict[str, Any]) -> None:
    duplicate_of(world, JobStatus.REJECTED)
    world.store.jobs[JOB] = job(JOB, JobStatus.REJECTED)
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["queued"], result["job_id"]) == ("locked", False, None)


async def test_a_superseded_job_leads_to_the_one_that_answers(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    duplicate_of(world, JobStatus.SUPERSEDED, first)
    world.store.jobs[first] = job(first, JobStatus.SUPERSEDED, superseded_by=second)
    world.store.jobs[second] = job(second, result=RESULT_TEXT)
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["job_id"]) == ("completed", second)


async def test_a_duplicate_in_the_running_turn_waits_like_the_first(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    duplicate_of(world, JobStatus.PROCESSING)
    world.gateway.will_say(OutcomeKind.COMPLETED, job_id=JOB, result=RESULT_TEXT)
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["duplicate"]) == ("completed", True)
    assert len(world.gateway.routed) == 1


async def test_a_duplicate_is_no_refusal_while_the_database_is_away(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    duplicate_of(world, JobStatus.COMPLETED)
    world.store.is_away = True
    result = await result_of(world, enhanced_body)
    assert (result["status"], result["job_id"]) == ("processing", JOB)


async def test_without_redis_the_backend_is_memory(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.redis.is_connected = False
    assert (await result_of(world, enhanced_body))["storage_backend"] == "Memory"
    world.gateway.will_say(
        OutcomeKind.COMPLETED, storage_backend="Memory", distributed_lock_used=False
    )
    result = await result_of(world, enhanced_body)
    assert (result["storage_backend"], result["distributed_lock_used"]) == ("Memory", False)
