"""What the AI service may do, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.stack.ask import enhanced, job_of, message, say
from tests.stack.inside import Inside
from tests.stack.stubs import Stubs

pytestmark = pytest.mark.usefixtures("checked")

GOOD = {"response_text": "at last"}
GARBAGE: list[Any] = [
    (200, b"not json", {}),
    (200, b"[]", {}),
    (200, b"\xff\xfe", {}),
    (200, {}, {}),
    (200, {"response_text": None}, {}),
    (200, {"response_text": 5}, {}),
    (200, {"response_text": "a", "actions": "none"}, {}),
    (200, {"response_text": "a", "confidence": "high"}, {}),
    (200, {"response_text": "a", "entities": []}, {}),
    (200, b'{"response_text": "a\\u0000b"}', {}),
    (200, b'{"response_text": "a\\ud800b"}', {}),
]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_too_many_requests_and_server_errors_are_tried_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, status: int
) -> None:
    stubs.plan_ai(conversation_id, (status, {}, {}), (status, {}, {}), GOOD)
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    assert result["ai_response"]["response_text"] == "at last"
    keys = [it.idempotency_key for it in stubs.ai_calls(conversation_id)]
    assert keys == [f"{result['job_id']}.{attempt}" for attempt in (1, 2, 3)]


@pytest.mark.parametrize("reply", GARBAGE)
async def test_an_unusable_body_is_tried_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, reply: Any
) -> None:
    stubs.plan_ai(conversation_id, reply, GOOD)
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    assert len(stubs.ai_calls(conversation_id)) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_heeded(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, status: int
) -> None:
    stubs.plan_ai(conversation_id, (status, {}, {"Retry-After": "1"}), GOOD)
    assert (await say(client, conversation_id))["status"] == "completed"
    first, second = stubs.ai_calls(conversation_id)
    assert second.started_at - first.started_at >= 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_other_refusals_are_not_tried_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, status: int
) -> None:
    stubs.plan_ai(conversation_id, (status, {}, {}))
    answer = await enhanced(client, message(conversation_id))
    assert answer["success"] is False
    assert (answer["result"]["status"], answer["result"]["reason"]) == ("failed", "ai_error")
    assert len(stubs.ai_calls(conversation_id)) == 1


@pytest.mark.parametrize(
    ("reply", "reason"), [((500, {}, {}), "ai_error"), ((200, {}, {}), "ai_invalid_response")]
)
async def test_after_all_attempts_the_turn_has_failed_and_is_a_dead_letter(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
    reply: Any,
    reason: str,
) -> None:
    stubs.plan_ai(conversation_id, reply, reply, reply)
    answer = await enhanced(client, message(conversation_id))
    assert answer["success"] is False
    result = answer["result"]
    assert (result["status"], result["reason"]) == ("failed", reason)
    assert len(stubs.ai_calls(conversation_id)) == 3
    assert stubs.deliveries(conversation_id) == []
    job = await job_of(client, result["job_id"])
    assert (job["status"], job["reason"]) == ("failed", reason)
    assert (await inside.job(result["job_id"]))["dead_letter_at"] is not None
    # The conversation goes on.
    assert (await say(client, conversation_id, "again"))["status"] == "completed"


async def test_a_timeout_fails_the_turn_and_the_fallback_message_is_sent(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    release = stubs.hold(conversation_id)
    body = message(conversation_id, metadata={"bot_id": bots["hasty"]})
    answer = await enhanced(client, body)
    release()
    assert answer["success"] is False
    result = answer["result"]
    assert (result["status"], result["reason"]) == ("failed", "ai_timeout")
    assert len(stubs.ai_calls(conversation_id)) == 2
    (delivery,) = stubs.deliveries(conversation_id)
    assert delivery.idempotency_key == result["job_id"]
    assert delivery.body["actions"] == [
        {"type": "send_message", "data": {"message": "Please try again later."}}
    ]
    assert delivery.body["message_ids"] == [body["message_id"]]
    assert (await inside.job(result["job_id"]))["dead_letter_at"] is not None
    await say(client, conversation_id, "again")
    context = stubs.ai_calls(conversation_id)[2].body["context"]
    assert [it["content"] for it in context] == ["Hello", "Please try again later."]


ACTIONS: list[dict[str, Any]] = [
    {"type": "send_message", "data": {"message": "Hi", "extra": 1}},
    {"type": "send_quick_replies", "data": {"message": "Pick", "quick_replies": ["a", "b"]}},
    {"type": "send_carousel", "data": {"items": [{"title": "One"}, {"title": "Two"}]}},
    {"type": "transfer_to_agent", "data": {"reason": "asked", "department": "sales"}},
    {"type": "collect_info", "data": {"fields": ["phone", "name"]}},
    {"type": "execute_api", "data": {"endpoint": "/book", "method": "POST", "parameters": {}}},
    {"type": "end_conversation", "data": {"reason": "done"}},
]


async def test_all_seven_types_of_actions_are_sent_and_stored(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    stubs.plan_ai(conversation_id, {"response_text": "Hi", "actions": ACTIONS})
    result = await say(client, conversation_id)
    assert result["extracted_actions"] == ACTIONS
    assert result["pancake_result"] == {"status": "success", "actions_executed": 7}
    (delivery,) = stubs.deliveries(conversation_id)
    assert delivery.body["actions"] == ACTIONS
    rows = await inside.actions(conversation_id)
    assert [{"type": it["action_type"], "data": it["data"]} for it in rows] == ACTIONS
    assert {it["status"] for it in rows} == {"sent"}


async def test_unknown_and_bad_actions_are_recorded_as_rejected_and_the_rest_goes_on(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    bad: list[Any] = [
        {"type": "launch_rocket", "data": {}},
        {"type": "send_message", "data": {}},
        {"type": "send_message", "data": {"message": 5}},
        {"type": "send_quick_replies", "data": {"quick_replies": []}},
        {"type": "send_carousel", "data": {"items": "many"}},
        {"type": "collect_info", "data": {}},
        {"type": "execute_api", "data": {}},
        {"type": 7, "data": {}},
        "send_message",
        None,
    ]
    good = {"type": "send_message", "data": {"message": "Hi"}}
    stubs.plan_ai(conversation_id, {"response_text": "Hi", "actions": [*bad, good]})
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    assert result["extracted_actions"] == [good]
    assert stubs.deliveries(conversation_id)[0].body["actions"] == [good]
    rows = await inside.actions(conversation_id)
    assert [it["status"] for it in rows] == ["rejected"] * len(bad) + ["sent"]
    assert all(it["error"] for it in rows[:-1])
    assert rows[0]["action_type"] == "launch_rocket"


async def test_without_a_send_message_one_is_made_from_the_text(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    collect = {"type": "collect_info", "data": {"fields": ["phone"]}}
    stubs.plan_ai(conversation_id, {"response_text": "Your phone?", "actions": [collect]})
    result = await say(client, conversation_id)
    assert result["extracted_actions"] == [
        {"type": "send_message", "data": {"message": "Your phone?"}},
        collect,
    ]


async def test_only_the_text_is_required(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, {"response_text": "Hi"})
    response = (await say(client, conversation_id))["ai_response"]
    assert response.pop("processing_time_ms") > 0
    assert response == {
        "response_text": "Hi",
        "intent": None,
        "confidence": None,
        "entities": response["entities"],
        "model_used": response["model_used"],
    }


async def test_a_slow_ai_holds_up_its_own_conversation_only(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, *[(500, {}, {"Retry-After": "2"})] * 2)
    slow = message(conversation_id)
    waiting = asyncio.create_task(enhanced(client, slow))
    for number in range(5):
        assert (await say(client, f"{conversation_id}_{number}"))["status"] == "completed"
    assert not waiting.done()
    assert (await waiting)["result"]["status"] == "completed"
