"""What the platform may do with a delivery, and what becomes of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.stack.ask import detail, final_job, job_of, say
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

SOON = {"Retry-After": "1"}


async def _sent(stubs: Stubs, conversation_id: str, count: int) -> None:
    async def sent() -> bool:
        return len(stubs.delivered(conversation_id)) >= count

    await wait_for(sent, what=f"the platform has taken {count} deliveries")


@pytest.mark.parametrize(
    "reply",
    [(500, {}, {}), (503, {}, {}), (429, {}, {}), (408, {}, {}), (200, {"success": False}, {})],
)
async def test_a_failed_delivery_is_pending_for_the_caller_and_tried_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside, reply: Any
) -> None:
    stubs.plan_platform(conversation_id, reply)
    result = await say(client, conversation_id)
    assert result["status"] == "completed"
    assert result["pancake_result"]["status"] == "pending"
    assert (await job_of(client, result["job_id"]))["status"] == "completed"

    async def is_sent() -> bool:
        return bool((await inside.job(result["job_id"]))["delivery_status"] == "sent")

    await wait_for(is_sent, what="the delivery is sent")
    first, second = stubs.deliveries(conversation_id)
    assert first.idempotency_key == second.idempotency_key == result["job_id"]
    assert first.raw == second.raw
    job = await job_of(client, result["job_id"])
    assert job["result"]["pancake_result"] == {"status": "success", "actions_executed": 1}
    (action,) = await inside.actions(conversation_id)
    assert (action["status"], action["retry_count"]) == ("sent", 1)


async def test_order_is_kept_while_later_turns_go_on(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_platform(conversation_id, (500, {}, SOON), (500, {}, SOON))
    results = [await say(client, conversation_id, str(number)) for number in range(4)]
    assert [it["status"] for it in results] == ["completed"] * 4
    assert [it["pancake_result"]["status"] for it in results] == ["pending"] * 4
    assert len(stubs.ai_calls(conversation_id)) == 4
    await _sent(stubs, conversation_id, 4)
    jobs = [it["job_id"] for it in results]
    assert [it.idempotency_key for it in stubs.deliveries(conversation_id)] == [
        jobs[0],
        jobs[0],
        *jobs,
    ]
    bodies = [it.raw for it in stubs.deliveries(conversation_id)[:3]]
    assert len(set(bodies)) == 1


async def test_a_failing_delivery_holds_up_its_own_conversation_only(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_platform(conversation_id, (503, {}, {"Retry-After": "60"}))
    await say(client, conversation_id)
    for number in range(4):
        result = await say(client, f"{conversation_id}_{number}")
        assert result["pancake_result"]["status"] == "success"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 301])
async def test_another_answer_makes_a_dead_letter_and_the_next_delivery_goes_on(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside, status: int
) -> None:
    stubs.plan_platform(conversation_id, status)
    first = await say(client, conversation_id, "first")
    assert first["status"] == "completed"
    assert first["pancake_result"] == {"status": "failed", "actions_executed": 0}
    second = await say(client, conversation_id, "second")
    assert second["pancake_result"]["status"] == "success"
    assert len(stubs.deliveries(conversation_id)) == 2
    job = await inside.job(first["job_id"])
    assert job["delivery_status"] == "dead"
    assert job["dead_letter_at"] is not None
    actions = {str(it["job_id"]): it["status"] for it in await inside.actions(conversation_id)}
    assert actions == {first["job_id"]: "failed", second["job_id"]: "sent"}


@pytest.mark.parametrize(
    ("said", "executed"),
    [
        ({"success": True, "actions_executed": 5}, 5),
        ({"actions_executed": 0}, 0),
        ({}, 1),
        ([], 1),
        (b"", 1),
        (b"OK", 1),
        ({"actions_executed": "two"}, 1),
        ({"actions_executed": -1}, 1),
        ({"success": None}, 1),
    ],
)
async def test_the_platform_says_how_many_actions_it_executed_else_they_are_counted(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, said: Any, executed: int
) -> None:
    stubs.plan_platform(conversation_id, (200, said, {}))
    result = await say(client, conversation_id)
    assert result["pancake_result"] == {"status": "success", "actions_executed": executed}
    job = await job_of(client, result["job_id"])
    assert job["result"]["pancake_result"] == result["pancake_result"]


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_2xx_is_a_success(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, status: int
) -> None:
    stubs.plan_platform(conversation_id, (status, b"", {}))
    result = await say(client, conversation_id)
    assert result["pancake_result"] == {"status": "success", "actions_executed": 1}


async def test_the_detail_shows_when_the_next_attempt_is_due(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_platform(conversation_id, (503, {}, {"Retry-After": "60"}))
    result = await say(client, conversation_id)
    found = await detail(admin, conversation_id)
    assert found["undelivered_jobs"] == 1
    assert found["next_retry_at"] > found["last_accepted_at"] + 30
    (job,) = found["jobs"]
    assert job["job_id"] == result["job_id"]
    assert job["delivery_status"] == "pending"
    assert job["delivery_attempts"] == 1
    assert job["delivery_error"]


async def test_at_most_sixteen_answers_wait_for_the_platform(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_platform(conversation_id, (503, {}, {"Retry-After": "3"}))
    results = [await say(client, conversation_id, str(number)) for number in range(17)]
    assert {it["status"] for it in results} == {"completed"}
    for it in results:
        assert (await final_job(client, it["job_id"]))["status"] == "completed"
    await _sent(stubs, conversation_id, 17)
    assert [it.idempotency_key for it in stubs.delivered(conversation_id)] == [
        it["job_id"] for it in results
    ]
