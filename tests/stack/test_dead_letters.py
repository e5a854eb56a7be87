"""What was given up is listed and can be tried again; then it comes after what was answered."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.stack.ask import enhanced, final_job, job_of, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Reply, Stubs

pytestmark = pytest.mark.usefixtures("checked")

BASE = "/api/v1/admin/dead-letters"
REFUSED: Reply = (400, {}, {})


async def letters_of(admin: httpx.AsyncClient, conversation_id: str) -> list[dict[str, Any]]:
    """Return the dead letters of a conversation, the last first."""
    response = await admin.get(BASE, params={"limit": 500})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["dead_letters"]
    return [it for it in found if it["conversation_id"] == conversation_id]


async def retry(admin: httpx.AsyncClient, letter_id: str) -> dict[str, Any]:
    """Try one again; return the answer."""
    response = await admin.post(f"{BASE}/{letter_id}/retry")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def fail(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, **fields: Any
) -> tuple[dict[str, Any], str]:
    """Let a turn fail; return the message and its job."""
    stubs.plan_ai(conversation_id, REFUSED)
    body = message(conversation_id, "given up", **fields)
    answer = await enhanced(client, body)
    assert answer["result"]["status"] == "failed"
    return body, answer["result"]["job_id"]


async def delivered(stubs: Stubs, conversation_id: str, count: int) -> list[str]:
    """Wait until the platform has taken so much; return the keys in order."""

    async def taken() -> bool:
        return len(stubs.delivered(conversation_id)) >= count

    await wait_for(taken, what=f"{count} deliveries")
    return [it.idempotency_key for it in stubs.delivered(conversation_id)]


async def test_a_message_that_was_given_up_is_answered_after_what_was_answered_meanwhile(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    body, job_id = await fail(client, stubs, conversation_id)
    (letter,) = await letters_of(admin, conversation_id)
    assert letter == {
        "id": job_id,
        "kind": "message",
        "conversation_id": conversation_id,
        "job_id": job_id,
        "message_ids": [body["message_id"]],
        "reason": "ai_error",
        "error": "ai_error: status 400",
        "attempts": 1,
        "created_at": letter["created_at"],
        "dead_letter_at": letter["dead_letter_at"],
    }
    meanwhile = await say(client, conversation_id, "meanwhile")
    retried = await retry(admin, job_id)
    assert retried["success"] is True
    assert (retried["id"], retried["kind"], retried["status"]) == (job_id, "message", "queued")
    new_job_id = retried["job_id"]
    job = await final_job(client, new_job_id)
    assert (job["status"], job["message_ids"]) == ("completed", [body["message_id"]])
    assert await delivered(stubs, conversation_id, 2) == [meanwhile["job_id"], new_job_id]
    call = stubs.ai_calls(conversation_id)[-1]
    assert call.body["message_ids"] == [body["message_id"]]
    assert [it["content"] for it in call.body["context"]] == ["meanwhile", "answer to meanwhile"]
    # The old job stays what it was, and is no dead letter any more.
    old = await job_of(client, job_id)
    assert (old["status"], old["reason"]) == ("failed", "ai_error")
    assert old["retried_by"] == new_job_id
    assert "retried_by" not in job
    assert await letters_of(admin, conversation_id) == []
    answer = await enhanced(client, body)
    assert (answer["result"]["status"], answer["result"]["job_id"]) == ("completed", new_job_id)
    assert answer["result"]["duplicate"] is True


async def test_the_messages_of_a_turn_that_was_given_up_are_one_turn_again(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    waiting = [message(conversation_id, f"waiting {number}") for number in range(3)]
    for body in waiting:
        assert (await enhanced(client, body))["result"]["status"] == "locked"
    stubs.plan_ai(conversation_id, {"response_text": "first"}, REFUSED)
    turn.finish()
    await turn.caller

    async def given_up() -> list[dict[str, Any]]:
        return await letters_of(admin, conversation_id)

    (letter,) = await wait_for(given_up, what="a dead letter")
    ids = [it["message_id"] for it in waiting]
    assert letter["message_ids"] == ids
    job = await final_job(client, (await retry(admin, letter["id"]))["job_id"])
    assert (job["status"], job["message_ids"]) == ("completed", ids)
    assert stubs.ai_calls(conversation_id)[-1].body["message_ids"] == ids
    assert len(await delivered(stubs, conversation_id, 2)) == 2


async def test_a_delivery_that_was_given_up_is_sent_with_its_key_and_body_after_the_others(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    stubs.plan_platform(conversation_id, 400)
    first = await say(client, conversation_id)
    assert first["pancake_result"]["status"] == "failed"
    (letter,) = await letters_of(admin, conversation_id)
    assert (letter["id"], letter["kind"]) == (first["job_id"], "delivery")
    assert (letter["attempts"], letter["reason"]) == (1, None)
    assert "400" in letter["error"]
    second = await say(client, conversation_id, "second")
    retried = await retry(admin, letter["id"])
    assert (retried["kind"], retried["job_id"]) == ("delivery", first["job_id"])
    assert retried["status"] == "pending"
    keys = await delivered(stubs, conversation_id, 2)
    assert keys == [second["job_id"], first["job_id"]]
    attempts = [
        it for it in stubs.deliveries(conversation_id) if it.idempotency_key == first["job_id"]
    ]
    assert len({it.raw for it in attempts}) == 1
    assert await letters_of(admin, conversation_id) == []

    async def is_recorded() -> bool:
        job = await job_of(client, first["job_id"])
        assert job["status"] == "completed"
        return bool(job["result"]["pancake_result"]["status"] == "success")

    await wait_for(is_recorded, what="the delivery is recorded")
    (action,) = [
        it for it in await inside.actions(conversation_id) if str(it["job_id"]) == first["job_id"]
    ]
    assert (action["status"], action["error"]) == ("sent", None)


async def test_a_fallback_message_that_was_sent_stays_as_it_was(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
) -> None:
    _, job_id = await fail(client, stubs, conversation_id, metadata={"bot_id": bots["hasty"]})
    retried = await retry(admin, job_id)
    assert (await final_job(client, retried["job_id"]))["status"] == "completed"
    assert await delivered(stubs, conversation_id, 2) == [job_id, retried["job_id"]]
    fallback, answer = stubs.delivered(conversation_id)
    assert fallback.body["ai_response"] != answer.body["ai_response"]


async def test_a_retry_while_a_turn_is_running_does_not_disturb_it(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    _, job_id = await fail(client, stubs, conversation_id)
    turn = await start_turn(client, stubs, conversation_id)
    waiting = await enhanced(client, message(conversation_id, "waiting"))
    assert waiting["result"]["status"] == "locked"
    retried = await retry(admin, job_id)
    turn.finish()
    assert (await turn.caller)["status"] == "restart_needed"
    expected = [turn.job_id, waiting["result"]["job_id"], retried["job_id"]]
    assert await delivered(stubs, conversation_id, 3) == expected
    assert len(stubs.ai_calls(conversation_id)) == 4


async def test_of_many_who_retry_one_dead_letter_one_wins(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    _, job_id = await fail(client, stubs, conversation_id)
    responses = await asyncio.gather(*(admin.post(f"{BASE}/{job_id}/retry") for _ in range(10)))
    assert sorted(it.status_code for it in responses) == [200] + [404] * 9
    (winner,) = [it.json() for it in responses if it.status_code == 200]
    assert (await final_job(client, winner["job_id"]))["status"] == "completed"
    assert len(stubs.ai_calls(conversation_id)) == 2


async def test_a_message_that_fails_again_is_a_dead_letter_again(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    body, job_id = await fail(client, stubs, conversation_id)
    stubs.plan_ai(conversation_id, REFUSED)
    retried = await retry(admin, job_id)
    assert (await final_job(client, retried["job_id"]))["status"] == "failed"
    (letter,) = await letters_of(admin, conversation_id)
    assert (letter["id"], letter["message_ids"]) == (retried["job_id"], [body["message_id"]])


async def test_all_dead_letters_are_tried_again(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    ids = [f"{conversation_id}_{number}" for number in range(6)]
    for failing in ids[:4]:
        await fail(client, stubs, failing)
    for undelivered in ids[4:]:
        stubs.plan_platform(undelivered, 400)
        await say(client, undelivered)
    response = await admin.post(f"{BASE}/retry")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["success"] is True
    # Other tests leave dead letters too.
    assert answer["retried"]["messages"] >= 4
    assert answer["retried"]["deliveries"] >= 2
    for each in ids:
        assert len(await delivered(stubs, each, 1)) == 1
    assert [await letters_of(admin, each) for each in ids] == [[]] * 6


async def test_a_retried_message_of_a_conversation_that_is_with_a_person_is_recorded(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    _, job_id = await fail(client, stubs, conversation_id)
    transfer = {"type": "transfer_to_agent", "data": {"reason": "asked"}}
    stubs.plan_ai(conversation_id, {"response_text": "one moment", "actions": [transfer]})
    await say(client, conversation_id, "a person, please")
    job = await final_job(client, (await retry(admin, job_id))["job_id"])
    assert (job["status"], job["reason"]) == ("completed", "with_agent")
    assert len(stubs.ai_calls(conversation_id)) == 2


async def test_pages_of_dead_letters(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    jobs = [(await fail(client, stubs, conversation_id))[1] for _ in range(3)]
    found: list[str] = []
    cursor = None
    while len(found) < 3:
        query = {"limit": "1", "kind": "message"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get(BASE, params=query)).json()
        assert page["total_dead_letters"] >= 3
        found += [it["id"] for it in page["dead_letters"]]
        cursor = page["next_cursor"]
    assert found == jobs[::-1]


@pytest.mark.parametrize(
    "letter_id", ["x", "3f0d5f0e-9c55-4f43-8f7e-0a8f8a3b6c11", "a/b", "%", "ü"]
)
async def test_what_is_no_dead_letter_cannot_be_tried_again(
    admin: httpx.AsyncClient, letter_id: str
) -> None:
    response = await admin.post(f"{BASE}/{quote(letter_id, safe='')}/retry")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_only_the_admin_may_and_only_by_these_methods(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for path, method, allowed in (
        (BASE, "GET", "GET, HEAD"),
        (f"{BASE}/retry", "POST", "POST"),
        (f"{BASE}/{uuid.uuid4()}/retry", "POST", "POST"),
    ):
        assert (await client.request(method, path)).status_code == 403
        wrong = await admin.delete(path)
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, allowed)
    assert (await admin.get(f"{BASE}?limit=0")).status_code == 422
