"""``POST /api/v1/chat/message``: answered as soon as the message is stored and its host spoke."""

from __future__ import annotations

import asyncio
import time
import uuid

import httpx
import pytest

from tests.stack.ask import CHAT, asked_ai, chat, final_job, job_of, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

HELLO = "<USER>Hello</USER><br>"
LATER = "<USER>Hello</USER><br><BOT>Hi!</BOT><br><USER>And now?</USER><br>"


async def test_the_answer_to_a_new_message_has_every_field(
    client: httpx.AsyncClient, stubs: Stubs
) -> None:
    conversation_id = str(uuid.uuid4())
    finish = stubs.hold(conversation_id)
    answer = await chat(client, HELLO, conversation_id=conversation_id)
    job_id, lock_id = answer.pop("ai_job_id"), answer.pop("lock_id")
    assert str(uuid.UUID(job_id)) == job_id
    assert str(uuid.UUID(lock_id)) == lock_id
    assert answer == {
        "success": True,
        "status": "ai_processing_started",
        "message": "Message received and AI processing started",
        "error": None,
        "action": "lock_acquired",
        "consolidated_messages": 1,
        "bot_name": "Default Bot",
        "conversation_id": conversation_id,
    }

    async def is_processing() -> bool:
        return bool((await job_of(client, job_id))["status"] == "processing")

    await wait_for(is_processing)
    finish()
    job = await final_job(client, job_id)
    assert job["status"] == "completed"
    assert job["result"]["ai_response"]["response_text"] == "answer to Hello"
    assert job["result"]["pancake_result"] == {"status": "success", "actions_executed": 1}
    (delivery,) = stubs.deliveries(conversation_id)
    assert delivery.body["distributed_lock_id"] == lock_id


async def test_the_caller_does_not_wait_for_the_ai(client: httpx.AsyncClient, stubs: Stubs) -> None:
    conversation_id = str(uuid.uuid4())
    finish = stubs.hold(conversation_id)
    answer = await chat(client, HELLO, conversation_id=conversation_id)
    assert answer["status"] == "ai_processing_started"
    finish()


async def test_a_conversation_id_is_made_where_there_is_none(
    client: httpx.AsyncClient, stubs: Stubs
) -> None:
    first, second = await chat(client, HELLO), await chat(client, HELLO)
    assert str(uuid.UUID(first["conversation_id"])) == first["conversation_id"]
    assert first["conversation_id"] != second["conversation_id"]
    assert (await final_job(client, first["ai_job_id"]))["status"] == "completed"


async def test_what_stands_before_the_last_user_parts_is_the_context(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await say(client, conversation_id, "stored")
    history = (
        "<user>one</user><br><BOT>two &amp; more</BOT><br/>\n"
        "<USER>a &lt;b&gt;</USER><br><User>c</User><br>"
    )
    answer = await chat(
        client,
        history,
        conversation_id=conversation_id,
        resources={"user_id": "123", "session_type": "web"},
    )
    await final_job(client, answer["ai_job_id"])
    call = stubs.ai_calls(conversation_id)[1].body
    assert call["message"] == "a <b>\nc"
    assert call["context"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two & more"},
    ]
    assert call["metadata"] == {"user_id": "123", "session_type": "web"}
    assert len(call["messages"]) == 1


async def test_resources_pick_the_bot(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    answer = await chat(
        client,
        HELLO,
        conversation_id=conversation_id,
        resources={"bot_id": bots["described"]},
    )
    assert answer["bot_name"] == "Clinic"
    assert (await asked_ai(stubs, conversation_id))["bot"]["name"] == "Clinic"


async def test_a_message_while_a_turn_runs_is_locked_with_the_job_that_answers_it(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await chat(client, "<USER>second</USER>", conversation_id=conversation_id)
    third = await chat(client, "<USER>third</USER>", conversation_id=conversation_id)
    assert (second["success"], second["error"]) == (True, None)
    assert (second["status"], second["action"]) == ("locked", "lock_exists")
    assert (third["status"], third["action"]) == ("locked", "lock_exists")
    assert second["consolidated_messages"] == 1
    assert third["consolidated_messages"] == 2
    assert second["ai_job_id"] == third["ai_job_id"] != turn.job_id
    turn.finish()
    assert (await turn.caller)["restart_job_id"] == second["ai_job_id"]
    job = await final_job(client, second["ai_job_id"])
    assert job["status"] == "completed"
    assert job["consolidated_messages"] == 2
    assert stubs.ai_calls(conversation_id)[1].body["message"] == "second\nthird"


async def test_parts_of_unanswered_messages_are_not_repeated(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id, "one")
    second = await chat(
        client, "<USER>one</USER><br><USER>two</USER>", conversation_id=conversation_id
    )
    third = await chat(
        client,
        "<USER>one</USER><br><USER>two</USER><br><USER>three</USER>",
        conversation_id=conversation_id,
    )
    assert second["ai_job_id"] == third["ai_job_id"]
    turn.finish()
    await final_job(client, second["ai_job_id"])
    assert stubs.ai_calls(conversation_id)[1].body["message"] == "two\nthree"
    assert [it["content"] for it in stubs.ai_calls(conversation_id)[1].body["messages"]] == [
        "two",
        "three",
    ]


async def test_a_run_that_is_held_already_is_a_duplicate_of_the_message_that_holds_it(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    finish = stubs.hold(conversation_id)
    first = await chat(client, "<USER>one</USER>", conversation_id=conversation_id)
    await asked_ai(stubs, conversation_id)
    again = await chat(
        client, "<BOT>Welcome</BOT><br><USER>one</USER>", conversation_id=conversation_id
    )
    assert again["ai_job_id"] == first["ai_job_id"]
    assert (again["status"], again["action"]) == ("ai_processing_started", "lock_acquired")
    assert len(await inside.messages(conversation_id)) == 1
    finish()
    await final_job(client, first["ai_job_id"])
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_the_same_history_is_the_same_message_while_its_job_runs_and_for_a_minute(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    finish = stubs.hold(conversation_id)
    first = await chat(client, LATER, conversation_id=conversation_id)
    await asked_ai(stubs, conversation_id)
    # While it runs, however long ago it was accepted.
    await _shift(inside, conversation_id, "10 minutes")
    during = await chat(client, LATER, conversation_id=conversation_id)
    assert during == first
    await _shift(inside, conversation_id, "-10 minutes")
    finish()
    await final_job(client, first["ai_job_id"])

    after = await chat(client, LATER, conversation_id=conversation_id)
    assert (after["status"], after["action"]) == ("completed", "duplicate")
    assert after["ai_job_id"] == first["ai_job_id"]

    await _shift(inside, conversation_id, "61 seconds")
    later = await chat(client, LATER, conversation_id=conversation_id)
    assert (later["status"], later["action"]) == ("ai_processing_started", "lock_acquired")
    assert later["ai_job_id"] != first["ai_job_id"]
    await final_job(client, later["ai_job_id"])
    repeated = await chat(client, LATER, conversation_id=conversation_id)
    assert (repeated["status"], repeated["action"]) == ("completed", "duplicate")
    assert repeated["ai_job_id"] == later["ai_job_id"]
    assert len(stubs.ai_calls(conversation_id)) == 2


async def _shift(inside: Inside, conversation_id: str, ago: str) -> None:
    await inside.rows(
        """update messages set accepted_at = accepted_at - $2::text::interval
        where conversation_id = $1 and message_id is not null""",
        conversation_id,
        ago,
    )


async def test_another_history_or_conversation_is_another_message(
    client: httpx.AsyncClient, conversation_id: str
) -> None:
    one = await chat(client, HELLO, conversation_id=conversation_id)
    other = await chat(client, HELLO, conversation_id=f"{conversation_id}_2")
    await final_job(client, one["ai_job_id"])
    longer = await chat(client, LATER, conversation_id=conversation_id)
    assert len({it["ai_job_id"] for it in (one, other, longer)}) == 3


async def test_an_idempotency_key_is_the_identity_for_good(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    key = f"key-{uuid.uuid4().hex}"
    first = await chat(client, HELLO, key, conversation_id=conversation_id)
    await final_job(client, first["ai_job_id"])
    await _shift(inside, conversation_id, "10 minutes")
    again = await chat(client, LATER, key, conversation_id=conversation_id)
    assert (again["status"], again["action"]) == ("completed", "duplicate")
    assert again["ai_job_id"] == first["ai_job_id"]
    assert (await job_of(client, first["ai_job_id"]))["message_ids"] == [key]
    other = await chat(client, HELLO, f"{key}-2", conversation_id=conversation_id)
    assert other["ai_job_id"] != first["ai_job_id"]
    await final_job(client, other["ai_job_id"])
    assert len(stubs.ai_calls(conversation_id)) == 2


async def test_a_key_without_a_conversation_makes_the_same_one_each_time(
    client: httpx.AsyncClient, stubs: Stubs
) -> None:
    key = f"key-{uuid.uuid4().hex}"
    first = await chat(client, HELLO, key)
    again = await chat(client, HELLO, key)
    assert again["conversation_id"] == first["conversation_id"]
    assert again["ai_job_id"] == first["ai_job_id"]
    assert uuid.UUID(first["conversation_id"]).version == 5
    await final_job(client, first["ai_job_id"])
    assert len(stubs.ai_calls(first["conversation_id"])) == 1


async def test_the_same_request_many_times_at_once_is_one_message(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    finish = stubs.hold(conversation_id)
    answers = await asyncio.gather(
        *(chat(client, HELLO, conversation_id=conversation_id) for _ in range(10))
    )
    assert len({it["ai_job_id"] for it in answers}) == 1
    assert len(await inside.messages(conversation_id)) == 1
    finish()
    await final_job(client, answers[0]["ai_job_id"])
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_when_the_host_does_not_speak_the_answer_comes_after_250_ms(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    # Another cluster has the lease, and it does not exist.
    await inside.hold_lease(conversation_id, owner="elsewhere#1", cluster="far", seconds=3)
    started = time.monotonic()
    first = await chat(client, "<USER>one</USER>", conversation_id=conversation_id)
    assert time.monotonic() - started >= 0.25
    assert (first["status"], first["action"]) == ("ai_processing_started", "lock_acquired")
    assert first["lock_id"] is None
    second = await chat(client, "<USER>two</USER>", conversation_id=conversation_id)
    assert (second["status"], second["action"]) == ("locked", "lock_exists")
    assert second["lock_id"] is None
    # Both are answered once the lease has lapsed.
    for job_id in (first["ai_job_id"], second["ai_job_id"]):
        job = await final_job(client, job_id)
        assert job["status"] in ("completed", "superseded")
    assert stubs.ai_calls(conversation_id)[0].body["message"] == "one\ntwo"


async def test_a_rejected_message_is_locked_without_a_job_and_may_be_sent_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    resources = {"bot_id": bots["reject"]}
    turn = await start_turn(client, stubs, conversation_id, metadata=resources)
    history = "<USER>second</USER>"
    refused = await chat(client, history, conversation_id=conversation_id, resources=resources)
    assert (refused["status"], refused["action"]) == ("locked", "lock_exists")
    assert refused["ai_job_id"] is None
    turn.finish()
    await turn.caller
    again = await chat(client, history, conversation_id=conversation_id, resources=resources)
    assert (again["status"], again["action"]) == ("ai_processing_started", "lock_acquired")
    job = await final_job(client, again["ai_job_id"])
    assert job["status"] == "completed"


@pytest.mark.parametrize(
    "history",
    ["", "Hello", "<BOT>Hello</BOT>", "<USER></USER><br>", "<USER>  \n</USER>", "<USER>a", "a</b>"],
)
async def test_a_history_without_a_user_part_is_refused(
    client: httpx.AsyncClient, history: str
) -> None:
    response = await client.post(CHAT, json={"history": history})
    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"
    assert response.json()["details"][0]["field"] == "history"


@pytest.mark.parametrize(("parts", "status"), [(500, 200), (501, 422)])
async def test_a_history_has_at_most_500_parts(
    client: httpx.AsyncClient, parts: int, status: int
) -> None:
    history = "<BOT>a</BOT><br>" * (parts - 1) + HELLO
    assert (await client.post(CHAT, json={"history": history})).status_code == status


@pytest.mark.parametrize(("key", "status"), [("k" * 255, 200), ("k" * 256, 422), ("", 422)])
async def test_a_key_has_1_to_255_characters(
    client: httpx.AsyncClient, conversation_id: str, key: str, status: int
) -> None:
    response = await client.post(
        CHAT,
        json={"history": HELLO, "conversation_id": conversation_id},
        headers={"Idempotency-Key": key},
    )
    assert response.status_code == status
