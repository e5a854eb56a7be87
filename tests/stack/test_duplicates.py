"""The same ``message_id`` again never starts a second turn or delivery."""

from __future__ import annotations

import asyncio

import httpx

from tests.stack.ask import chat, enhanced, final_job, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import Server
from tests.stack.stubs import Stubs


async def test_after_the_turn_the_stored_outcome_is_answered(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(
        conversation_id,
        {"response_text": "Hi", "intent": "greet", "confidence": 0.5, "entities": {"a": 1}},
    )
    body = message(conversation_id)
    first = (await enhanced(client, body))["result"]
    again = (await enhanced(client, body))["result"]
    assert first["duplicate"] is False
    assert again == {**first, "duplicate": True}
    assert len(stubs.ai_calls(conversation_id)) == 1
    assert len(stubs.deliveries(conversation_id)) == 1


async def test_during_the_turn_the_caller_waits_for_the_outcome(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    others = [asyncio.create_task(enhanced(client, turn.body)) for _ in range(3)]
    done, _ = await asyncio.wait(others, timeout=0.5)
    assert not done
    turn.finish()
    first = await turn.caller
    for other in await asyncio.gather(*others):
        assert other["result"] == {**first, "duplicate": True}
    assert len(stubs.ai_calls(conversation_id)) == 1
    assert len(stubs.deliveries(conversation_id)) == 1


async def test_at_the_same_moment_one_turn_answers_all(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    body = message(conversation_id)
    answers = await asyncio.gather(*(enhanced(client, body) for _ in range(40)))
    results = [it["result"] for it in answers]
    assert {it["status"] for it in results} == {"completed"}
    assert len({it["job_id"] for it in results}) == 1
    assert sorted(it["duplicate"] for it in results) == [False] + [True] * 39
    assert len(stubs.ai_calls(conversation_id)) == 1
    assert len(stubs.deliveries(conversation_id)) == 1
    assert len(await inside.jobs(conversation_id)) == 1


async def test_a_waiting_message_is_locked_as_at_first(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    body = message(conversation_id, "second")
    first = (await enhanced(client, body))["result"]
    again = (await enhanced(client, body))["result"]
    assert first["status"] == "locked"
    assert again == {**first, "duplicate": True}
    turn.finish()
    result = await turn.caller
    assert len(result["newer_messages"]) == 1
    final = await final_job(client, first["job_id"])
    assert final["message_ids"] == [body["message_id"]]
    assert len(stubs.ai_calls(conversation_id)) == 2


async def test_a_merged_message_sent_again_gets_the_outcome_of_its_turn(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    bodies = [message(conversation_id, "second"), message(conversation_id, "third")]
    locked = [(await enhanced(client, body))["result"] for body in bodies]
    turn.finish()
    await turn.caller
    await final_job(client, locked[0]["job_id"])
    for body in bodies:
        result = (await enhanced(client, body))["result"]
        assert (result["status"], result["duplicate"]) == ("completed", True)
        assert result["job_id"] == locked[0]["job_id"]
        assert result["message_id"] == body["message_id"]
        assert result["consolidated_messages"] == 2


async def test_other_content_under_the_same_id_is_dropped_and_logged(
    client: httpx.AsyncClient, server: Server, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    body = message(conversation_id, "said first")
    first = (await enhanced(client, body))["result"]
    other = {**body, "message_content": "said second", "timestamp": body["timestamp"] + 1}
    again = (await enhanced(client, other))["result"]
    assert again == {**first, "duplicate": True}
    asked, _ = await inside.messages(conversation_id)
    assert asked["content"] == "said first"
    assert len(stubs.ai_calls(conversation_id)) == 1
    log = server.log.read_text(errors="replace")
    lines = [it for it in log.splitlines() if body["message_id"] in it]
    assert any("content" in it for it in lines), "the dropped content is logged"
    assert "said second" not in log


async def test_the_same_id_in_another_conversation_is_another_message(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    body = message(conversation_id)
    first = (await enhanced(client, body))["result"]
    other = {**body, "conversation_id": f"{conversation_id}_2"}
    second = (await enhanced(client, other))["result"]
    assert second["duplicate"] is False
    assert second["job_id"] != first["job_id"]


async def test_a_failed_turn_is_not_tried_again_by_a_duplicate(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, (400, {}, {}))
    body = message(conversation_id)
    first = await enhanced(client, body)
    again = await enhanced(client, body)
    assert (first["success"], again["success"]) == (False, False)
    assert again["result"] == {**first["result"], "duplicate": True}
    assert again["result"]["status"] == "failed"
    assert again["result"]["reason"] == "ai_error"
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_a_waiting_chat_message_sent_again_is_locked_with_the_same_job(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    history = "<USER>second</USER>"
    first = await chat(client, history, conversation_id=conversation_id)
    again = await chat(client, history, conversation_id=conversation_id)
    assert first["status"] == "locked"
    assert again == first
    turn.finish()
    await turn.caller
    await final_job(client, first["ai_job_id"])
    await say(client, conversation_id, "third")
    assert [it.body["message"] for it in stubs.ai_calls(conversation_id)] == [
        "first",
        "second",
        "third",
    ]
