"""Cancelling a job, and what runs in a conversation."""

from __future__ import annotations

import asyncio
import uuid

import httpx

from tests.stack.ask import (
    asked_ai,
    cancel_conversation,
    cancel_job,
    detail,
    enhanced,
    final_job,
    job_of,
    say,
    start_turn,
)
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

LATER = {"Retry-After": "60"}


async def test_cancelling_a_running_job_stops_the_ai_call_and_tells_the_caller(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    answer = await cancel_job(client, turn.job_id)
    assert answer == {"success": True, "job_id": turn.job_id, "status": "cancelled"}
    result = await turn.caller
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    assert result["job_id"] == turn.job_id

    async def cut_off() -> bool:
        return stubs.ai_calls(conversation_id)[0].was_cut_off

    await wait_for(cut_off, what="the AI call is abandoned")
    turn.finish()
    job = await job_of(client, turn.job_id)
    assert (job["status"], job["reason"], job["result"]) == ("cancelled", "cancelled", None)
    assert stubs.deliveries(conversation_id) == []
    assert await inside.actions(conversation_id) == []
    # It is not said to the AI later, nor answered.
    assert (await say(client, conversation_id, "second"))["status"] == "completed"
    assert stubs.ai_calls(conversation_id)[1].body["context"] == []


async def test_a_cancelled_message_sent_again_is_a_failed_duplicate(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await cancel_job(client, turn.job_id)
    await turn.caller
    answer = await enhanced(client, turn.body)
    assert answer["success"] is False
    result = answer["result"]
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    assert result["duplicate"] is True
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_cancelling_a_queued_job_drops_its_message_only(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await say(client, conversation_id, "second")
    third = await say(client, conversation_id, "third")
    jobs = await inside.jobs(conversation_id)
    (second_job,) = [it for it in jobs if it["job_id"] == third["job_id"]]
    answer = await cancel_job(client, second_job["job_id"])
    assert (answer["success"], answer["status"]) == (True, "cancelled")
    turn.finish()
    assert (await turn.caller)["status"] == "restart_needed"
    assert (await asked_ai(stubs, conversation_id, 2))["message"] == "third"
    third_message = (await inside.messages(conversation_id))[2]
    assert (await final_job(client, str(third_message["job_id"])))["status"] == "completed"


async def test_cancelling_a_final_job_changes_nothing(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    result = await say(client, conversation_id)
    before = await job_of(client, result["job_id"])
    for _ in range(2):
        answer = await cancel_job(client, result["job_id"])
        assert answer == {"success": False, "job_id": result["job_id"], "status": "completed"}
    assert await job_of(client, result["job_id"]) == before


async def test_cancelling_twice_is_cancelled_still(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    first = await cancel_job(client, turn.job_id)
    assert await cancel_job(client, turn.job_id) == first
    await turn.caller


async def test_a_committed_job_is_cancelled_with_its_actions_while_no_delivery_was_tried(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    # The first answer is being retried for long; the second waits behind it, never tried.
    stubs.plan_platform(conversation_id, (503, {}, LATER))
    first = await say(client, conversation_id, "first")
    second = await say(client, conversation_id, "second")
    assert first["pancake_result"]["status"] == "pending"
    assert second["pancake_result"]["status"] == "pending"

    # An attempt was made: too late.
    assert await cancel_job(client, first["job_id"]) == {
        "success": False,
        "job_id": first["job_id"],
        "status": "completed",
    }
    answer = await cancel_job(client, second["job_id"])
    assert (answer["success"], answer["status"]) == (True, "cancelled")
    actions = {str(it["job_id"]): it["status"] for it in await inside.actions(conversation_id)}
    assert actions == {first["job_id"]: "pending", second["job_id"]: "cancelled"}
    assert len(stubs.deliveries(conversation_id)) == 1

    third = await say(client, conversation_id, "third")
    await _deliver_now(inside, admin, conversation_id)
    await _is_sent(inside, third["job_id"])
    assert [it.idempotency_key for it in stubs.delivered(conversation_id)] == [
        first["job_id"],
        third["job_id"],
    ]


async def _deliver_now(inside: Inside, admin: httpx.AsyncClient, conversation_id: str) -> None:
    """Make the retry due and let a new owner see it."""
    await inside.rows(
        """update jobs set next_delivery_at = now()
        where conversation_id = $1 and delivery_status = 'pending'""",
        conversation_id,
    )
    await cancel_conversation(admin, conversation_id)


async def _is_sent(inside: Inside, job_id: str) -> None:
    async def is_sent() -> bool:
        return bool((await inside.job(job_id))["delivery_status"] == "sent")

    await wait_for(is_sent, what=f"the answer of job {job_id} is sent")


async def test_an_unknown_job_cannot_be_cancelled(client: httpx.AsyncClient) -> None:
    for job_id in (str(uuid.uuid4()), "nonsense", "%00", "a%2Fb"):
        response = await client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"


async def test_cancelling_a_conversation_stops_its_turn_and_takes_the_lease(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    before = await inside.conversation(conversation_id)
    lease = await inside.lease(conversation_id)
    answer = await cancel_conversation(admin, conversation_id)
    assert answer == {
        "success": True,
        "conversation_id": conversation_id,
        "cancelled_job_id": turn.job_id,
        "lock_released": True,
    }
    row = await inside.conversation(conversation_id)
    assert row["epoch"] > before["epoch"]
    assert await inside.lease(conversation_id) != lease
    result = await turn.caller
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    turn.finish()
    assert (await job_of(client, turn.job_id))["status"] == "cancelled"
    assert stubs.deliveries(conversation_id) == []


async def test_cancelling_an_idle_conversation(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, conversation_id: str, inside: Inside
) -> None:
    await say(client, conversation_id)
    epoch = (await inside.conversation(conversation_id))["epoch"]
    assert await cancel_conversation(admin, conversation_id) == {
        "success": True,
        "conversation_id": conversation_id,
        "cancelled_job_id": None,
        "lock_released": False,
    }
    assert (await inside.conversation(conversation_id))["epoch"] > epoch
    assert (await say(client, conversation_id))["status"] == "completed"


async def test_messages_that_wait_are_answered_after_a_cancel(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    await cancel_conversation(admin, conversation_id)
    assert (await turn.caller)["status"] == "failed"
    turn.finish()
    job = await final_job(client, second["job_id"])
    assert job["status"] == "completed"
    assert stubs.ai_calls(conversation_id)[1].body["message"] == "second"
    assert [it.idempotency_key for it in stubs.delivered(conversation_id)] == [second["job_id"]]


async def test_a_lease_held_by_somebody_who_is_gone_is_released(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    await inside.hold_lease(conversation_id, owner="elsewhere#1", cluster="far", seconds=600)
    waiting = asyncio.create_task(say(client, conversation_id, "second"))

    async def is_stored() -> bool:
        return len(await inside.messages(conversation_id)) == 1

    await wait_for(is_stored, what="the message waits")
    seen = await detail(admin, conversation_id)
    assert seen["lease"]["owner"] == "elsewhere#1"
    assert seen["lease"]["cluster"] == "far"
    assert seen["lease_seconds_left"] > 500
    answer = await cancel_conversation(admin, conversation_id)
    assert answer["lock_released"] is True
    assert answer["cancelled_job_id"] is None
    assert (await waiting)["status"] == "completed"


async def test_a_cancel_while_the_ai_answers_ends_in_one_of_the_two(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs
) -> None:
    for _ in range(10):
        conversation_id = f"conv_{uuid.uuid4().hex}"
        turn = await start_turn(client, stubs, conversation_id)
        turn.finish()
        answer = await cancel_job(client, turn.job_id)
        result = await turn.caller
        job = await final_job(client, turn.job_id)
        if answer["success"]:
            assert job["status"] == "cancelled"
            assert (result["status"], result["reason"]) == ("failed", "cancelled")
            assert stubs.deliveries(conversation_id) == []
        else:
            assert job["status"] == "completed"
            assert result["status"] == "completed"
            assert len(stubs.deliveries(conversation_id)) == 1


async def test_an_unknown_conversation_cannot_be_cancelled(admin: httpx.AsyncClient) -> None:
    response = await admin.post(f"/api/v1/admin/conversations/{uuid.uuid4()}/cancel")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"
