"""A race that the earlier documents tell of: a message comes while one is being answered."""

from __future__ import annotations

import asyncio
import itertools
import uuid

import httpx

from tests.stack.ask import asked_ai, enhanced, final_job, message, start_turn
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs


async def test_the_second_is_locked_the_first_is_told_and_both_are_answered_in_order(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id, "Tôi muốn đặt lịch khám bệnh")
    second = message(conversation_id, "vào ngày mai")
    locked = await enhanced(client, second)
    assert locked["success"] is True
    assert locked["result"]["status"] == "locked"
    assert locked["result"]["reason"] == "processing_in_progress"
    assert locked["result"]["storage_backend"] == "Redis"

    turn.finish()
    first = await turn.caller
    assert first["status"] == "restart_needed"
    assert first["newer_messages"] == [
        {"message_id": second["message_id"], "timestamp": second["timestamp"]}
    ]
    assert (
        first["current_result"]["ai_response"]["response_text"]
        == "answer to Tôi muốn đặt lịch khám bệnh"
    )
    assert first["current_result"]["extracted_actions"]
    assert first["current_result"]["pancake_result"]["status"] == "success"
    assert first["restart_job_id"] == locked["result"]["job_id"]

    await final_job(client, first["restart_job_id"])
    assert [it.body["ai_response"]["response_text"] for it in stubs.delivered(conversation_id)] == [
        "answer to Tôi muốn đặt lịch khám bệnh",
        "answer to vào ngày mai",
    ]
    assert [it["content"] for it in (await asked_ai(stubs, conversation_id, 2))["context"]] == [
        "Tôi muốn đặt lịch khám bệnh",
        "answer to Tôi muốn đặt lịch khám bệnh",
    ]


async def test_many_conversations_burst_at_once_and_none_loses_or_mixes_a_message(
    client: httpx.AsyncClient, stubs: Stubs
) -> None:
    conversations = [f"conv_{uuid.uuid4().hex}" for _ in range(20)]
    bodies = [
        message(conversation_id, f"{conversation_id} {number}")
        for number in range(5)
        for conversation_id in conversations
    ]
    answers = await asyncio.gather(*(enhanced(client, body) for body in bodies))
    assert all(it["success"] for it in answers)

    async def all_answered() -> bool:
        return all(
            sum(len(it.body["message_ids"]) for it in stubs.delivered(conversation_id)) == 5
            for conversation_id in conversations
        )

    await wait_for(all_answered, 60, what="every message is answered")
    for conversation_id in conversations:
        deliveries = stubs.deliveries(conversation_id)
        sent = [it for delivery in deliveries for it in delivery.body["message_ids"]]
        expected = [it["message_id"] for it in bodies if it["conversation_id"] == conversation_id]
        assert sorted(sent) == sorted(expected)
        calls = stubs.ai_calls(conversation_id)
        assert [it.idempotency_key for it in deliveries] == [it.body["job_id"] for it in calls]
        # One turn at a time.
        for earlier, later in itertools.pairwise(calls):
            assert earlier.ended_at is not None
            assert earlier.ended_at <= later.started_at
        said = " ".join(it.body["message"] for it in calls)
        assert said.count(conversation_id) == 5
        assert said.count("conv_") == 5
