"""Jobs as clients see them."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from tests.stack.ask import chat, job_of, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.stubs import Stubs


async def test_a_job_can_be_asked_for_in_each_state_on_its_way(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    before = time.time()
    turn = await start_turn(client, stubs, conversation_id)
    waiting = await chat(client, "<USER>second</USER>", conversation_id=conversation_id)
    queued = await job_of(client, waiting["ai_job_id"])
    assert (queued["status"], queued["started_at"], queued["result"]) == ("queued", None, None)
    running = await job_of(client, turn.job_id)
    assert set(running) == {
        "job_id",
        "conversation_id",
        "status",
        "reason",
        "superseded_by",
        "message_ids",
        "consolidated_messages",
        "created_at",
        "started_at",
        "finished_at",
        "result",
    }
    assert running["status"] == "processing"
    assert running["conversation_id"] == conversation_id
    assert (running["finished_at"], running["result"]) == (None, None)
    turn.finish()
    result = await turn.caller
    job = await job_of(client, turn.job_id)
    assert job["status"] == "completed"
    assert (job["reason"], job["superseded_by"]) == (None, None)
    assert job["message_ids"] == [turn.body["message_id"]]
    assert job["consolidated_messages"] == 1
    assert before - 5 <= job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["result"] == result["current_result"]


async def test_every_stored_message_has_a_job_that_leads_to_its_answer(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    for number in range(3):
        await say(client, conversation_id, str(number))
    await say(client, conversation_id, "note", sender_type="system")
    stored = await inside.messages(conversation_id)
    assert len({it["job_id"] for it in stored}) == 5
    turn.finish()
    await turn.caller
    for it in stored:
        job = await job_of(client, str(it["job_id"]))
        if job["status"] == "superseded":
            job = await job_of(client, job["superseded_by"])
        assert job["status"] in ("completed", "queued", "processing")


@pytest.mark.parametrize(
    "job_id",
    ["nonsense", "123", "{%s}", "%s-", "urn:uuid:%s", "%2F", "%00", "a%2Fb"],
)
async def test_what_is_no_uuid_is_not_found(client: httpx.AsyncClient, job_id: str) -> None:
    text = job_id % uuid.uuid4() if "%s" in job_id else job_id
    response = await client.get(f"/api/v1/jobs/{text}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/api/v1/jobs/{uuid.uuid4()}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_jobs_count_for_analytics(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    stubs.plan_ai(
        conversation_id, {"response_text": "a", "intent": "x", "confidence": 1, "model_used": "m"}
    )
    await say(client, conversation_id)
    (row,) = await inside.rows(
        """select status, intent, confidence, model_used, ai_processing_time_ms, queue_time_ms,
            consolidated_messages, created_at
        from jobs where conversation_id = $1""",
        conversation_id,
    )
    assert (row["status"], row["intent"], row["confidence"]) == ("completed", "x", 1.0)
    assert row["model_used"] == "m"
    assert row["ai_processing_time_ms"] > 0
    assert row["queue_time_ms"] >= 0


async def test_a_message_body_is_never_changed_by_its_job(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    text = "  <b>&amp; 'quotes' \"double\"\t\r\n\u2028 ộ 😀  "
    body = message(conversation_id, text)
    await client.post("/api/v1/enhanced-handle-message", json=body)
    assert stubs.ai_calls(conversation_id)[0].body["message"] == text
    assert (await inside.messages(conversation_id))[0]["content"] == text
