"""A person's right: nothing is left of an erased conversation, in any table or key."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx

from tests.stack.ask import chat, detail, enhanced, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

CONVERSATIONS = "/api/v1/admin/conversations"


async def _erase(admin: httpx.AsyncClient, conversation_id: str) -> dict[str, Any]:
    response = await admin.delete(f"{CONVERSATIONS}/{conversation_id}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def _traces(inside: Inside, marks: list[str]) -> list[str]:
    """Return every table and every key of Redis that holds one of the marks anywhere."""
    found = await inside.tables_with(marks)
    return found + await inside.keys_with(marks)


def _said(conversation_id: str, mark: str) -> dict[str, Any]:
    """Return a message with the mark in everything that a person may write."""
    return message(
        conversation_id,
        f"my secret {mark}",
        message_id=f"m-{uuid.uuid4().hex}-{mark}",
        sender_id=f"sender-{mark}",
        metadata={"note": mark},
        attachments=[{"name": mark}],
    )


async def _say(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = (await enhanced(client, body))["result"]
    return result


async def test_nothing_is_left_of_a_busy_conversation_in_any_table_or_key(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    inside: Inside,
) -> None:
    mark = uuid.uuid4().hex
    conversation_id = f"conv_{mark}"
    # A turn that failed for good, one whose delivery is retried, one that runs, one that waits.
    stubs.plan_ai(conversation_id, (400, {"error": mark}, {}))
    failed = await _say(client, _said(conversation_id, mark))
    assert failed["status"] == "failed"
    stubs.plan_platform(conversation_id, *([500] * 20))
    pending = await _say(client, _said(conversation_id, mark))
    assert pending["pancake_result"]["status"] == "pending"
    turn = await start_turn(client, stubs, conversation_id, f"running {mark}")
    locked = await _say(client, _said(conversation_id, mark))
    assert locked["status"] == "locked"
    by_history = await chat(client, f"<USER>by history {mark}</USER>", conversation_id=mark)
    assert by_history["success"]
    seen = await _traces(inside, [mark])
    assert {"conversations", "messages", "jobs", "message_actions"} <= set(seen)
    assert f"state:{conversation_id}" in seen

    answer = await _erase(admin, conversation_id)
    assert answer["cancelled_job_id"] == turn.job_id
    assert answer["removed"]["conversations"] == 1
    assert answer["removed"]["messages"] >= 4
    await _erase(admin, mark)
    # Who waits is told, the AI's answer comes too late, and the platform gets no more of it.
    result = await turn.caller
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    turn.finish()
    tried = len(stubs.deliveries(conversation_id))

    async def is_gone() -> bool:
        return not await _traces(inside, [mark, turn.job_id])

    await wait_for(is_gone, what="no trace is left")
    for path in (f"{CONVERSATIONS}/{conversation_id}", f"/api/v1/jobs/{turn.job_id}"):
        assert (await admin.get(path)).status_code == 404
    assert (await admin.delete(f"{CONVERSATIONS}/{conversation_id}")).status_code == 404
    letters = (await admin.get("/api/v1/admin/dead-letters", params={"limit": 500})).json()
    assert mark not in str(letters)
    assert len(stubs.delivered(conversation_id)) == 0
    assert len(stubs.deliveries(conversation_id)) <= tried + 1


async def test_an_idle_conversation_goes_and_its_id_begins_anew(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    body = message(conversation_id, "remember me")
    for _ in range(2):
        await client.post("/api/v1/enhanced-handle-message", json=body)
    answer = await _erase(admin, conversation_id)
    assert answer["cancelled_job_id"] is None
    assert (answer["removed"]["messages"], answer["removed"]["jobs"]) == (2, 1)

    async def is_gone() -> bool:
        return not await _traces(inside, [conversation_id])

    await wait_for(is_gone, what="no trace is left")
    # The same message is a new one, and the AI is told nothing of what was.
    again = (await client.post("/api/v1/enhanced-handle-message", json=body)).json()["result"]
    assert (again["status"], again["duplicate"]) == ("completed", False)
    assert stubs.ai_calls(conversation_id)[-1].body["context"] == []
    assert (await detail(admin, conversation_id))["context_size"] == 2


async def test_messages_that_come_while_it_is_erased_are_answered_or_erased(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    conversation_id: str,
    inside: Inside,
) -> None:
    await say(client, conversation_id)

    async def erase() -> int:
        return (await admin.delete(f"{CONVERSATIONS}/{conversation_id}")).status_code

    work = [
        *(say(client, conversation_id, f"number {number}") for number in range(20)),
        *(erase() for _ in range(5)),
    ]
    answers = await asyncio.gather(*work)
    results = [it for it in answers if isinstance(it, dict)]
    assert {it for it in answers if isinstance(it, int)} <= {200, 404}
    assert {it["status"] for it in results} <= {"completed", "restart_needed", "locked", "failed"}

    async def is_settled() -> bool:
        rows = await inside.messages(conversation_id)
        return all(row["processed_at"] is not None for row in rows)

    await wait_for(is_settled, what="what was not erased is answered")
    assert (await say(client, conversation_id, "after all"))["status"] == "completed"


async def test_an_unknown_conversation_is_not_found(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, conversation_id: str
) -> None:
    response = await admin.delete(f"{CONVERSATIONS}/{conversation_id}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (await client.delete(f"{CONVERSATIONS}/{conversation_id}")).status_code == 403
