"""What becomes of a user's message while a turn is running: one test for each cell of the table."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.stack.ask import (
    asked_ai,
    detail,
    enhanced,
    final_job,
    job_of,
    message,
    say,
    start_turn,
)
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs


def _bot(name: str) -> dict[str, Any]:
    return {"metadata": {"bot_id": name}}


# ------------------------------------------------------------------------------------------ merge


async def test_merge_tells_the_new_callers_at_once_which_job_answers_them(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second_body = message(conversation_id, "second")
    second = (await enhanced(client, second_body))["result"]
    third = await say(client, conversation_id, "third")
    assert not turn.caller.done()
    assert (
        second.items()
        >= {
            "status": "locked",
            "reason": "processing_in_progress",
            "storage_backend": "Redis",
            "message_id": second_body["message_id"],
            "queued": True,
        }.items()
    )
    assert second["job_id"] == third["job_id"] != turn.job_id
    turn.finish()
    await turn.caller
    job = await final_job(client, second["job_id"])
    assert job["status"] == "completed"
    assert job["message_ids"] == [second_body["message_id"], third["message_id"]]


async def test_merge_gives_the_running_caller_its_result_and_what_came_meanwhile(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    newer = [message(conversation_id, "second"), message(conversation_id, "third")]
    locked = [(await enhanced(client, body))["result"] for body in newer]
    turn.finish()
    result = await turn.caller
    assert result["status"] == "restart_needed"
    assert result["newer_messages"] == [
        {"message_id": it["message_id"], "timestamp": it["timestamp"]} for it in newer
    ]
    assert result["restart_job_id"] == locked[0]["job_id"]
    current = result["current_result"]
    assert set(current) == {"ai_response", "extracted_actions", "pancake_result"}
    assert current["ai_response"]["response_text"] == "answer to first"
    assert current["extracted_actions"] == [
        {"type": "send_message", "data": {"message": "answer to first"}}
    ]
    assert current["pancake_result"] == {"status": "success", "actions_executed": 1}
    assert (await job_of(client, turn.job_id))["result"] == current


async def test_merge_puts_all_that_wait_into_one_turn_with_the_first_answer_in_its_context(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    await say(client, conversation_id, "third")
    turn.finish()
    await turn.caller
    await final_job(client, second["job_id"])
    first_call, next_call = stubs.ai_calls(conversation_id)
    assert first_call.body["message"] == "first"
    assert next_call.body["message"] == "second\nthird"
    assert next_call.body["job_id"] == second["job_id"]
    assert [it["content"] for it in next_call.body["context"]] == ["first", "answer to first"]
    assert [it.body["ai_response"]["response_text"] for it in stubs.delivered(conversation_id)] == [
        "answer to first",
        "answer to second\nthird",
    ]


async def test_merge_supersedes_the_jobs_of_the_merged_messages_before_the_ai_is_called(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    for content in ("second", "third", "fourth"):
        await say(client, conversation_id, content)
    finish = stubs.hold(conversation_id)
    turn.finish()
    asked = await asked_ai(stubs, conversation_id, 2)
    await turn.caller
    first, second, third, fourth = await inside.jobs(conversation_id)
    assert (first["job_id"], first["status"]) == (turn.job_id, "completed")
    assert second["job_id"] == asked["job_id"]
    for merged in (third, fourth):
        assert merged["status"] == "superseded"
        assert merged["answered_by"] == second["job_id"]
        seen = await job_of(client, merged["job_id"])
        assert (seen["status"], seen["superseded_by"]) == ("superseded", second["job_id"])
    finish()
    assert (await final_job(client, second["job_id"]))["consolidated_messages"] == 3


# ------------------------------------------------------------------------------------------ queue


async def test_queue_answers_each_message_in_a_turn_of_its_own_in_order(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    turn = await start_turn(client, stubs, conversation_id, **_bot(bots["queue"]))
    locked = [
        await say(client, conversation_id, content, **_bot(bots["queue"]))
        for content in ("second", "third")
    ]
    assert not turn.caller.done()
    assert [it["status"] for it in locked] == ["locked", "locked"]
    assert [it["queued"] for it in locked] == [True, True]
    assert len({turn.job_id, *(it["job_id"] for it in locked)}) == 3
    turn.finish()
    result = await turn.caller
    assert result["status"] == "restart_needed"
    assert result["current_result"]["ai_response"]["response_text"] == "answer to first"
    assert result["restart_job_id"] == locked[0]["job_id"]
    assert len(result["newer_messages"]) == 2
    jobs = [await final_job(client, it["job_id"]) for it in locked]
    assert [it["status"] for it in jobs] == ["completed", "completed"]
    assert [it["consolidated_messages"] for it in jobs] == [1, 1]
    assert [it.body["message"] for it in stubs.ai_calls(conversation_id)] == [
        "first",
        "second",
        "third",
    ]
    assert [it.idempotency_key for it in stubs.delivered(conversation_id)] == [
        turn.job_id,
        *(it["job_id"] for it in locked),
    ]


# ---------------------------------------------------------------------------------------- restart


async def test_restart_abandons_the_call_and_starts_the_same_job_with_all_messages(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    turn = await start_turn(client, stubs, conversation_id, **_bot(bots["restart"]))
    body = message(conversation_id, "second", **_bot(bots["restart"]))
    second = (await enhanced(client, body))["result"]
    assert (second["status"], second["queued"]) == ("locked", True)
    assert second["job_id"] == turn.job_id

    # The running caller is answered although the AI has not answered anything yet.
    first = await turn.caller
    assert first["status"] == "restart_needed"
    assert first["current_result"] is None
    assert first["restart_job_id"] == turn.job_id
    assert first["newer_messages"] == [
        {"message_id": body["message_id"], "timestamp": body["timestamp"]}
    ]

    asked = await asked_ai(stubs, conversation_id, 2)
    assert asked["message"] == "first\nsecond"
    assert asked["job_id"] == turn.job_id
    keys = [it.idempotency_key for it in stubs.ai_calls(conversation_id)]
    assert keys[0] != keys[1]

    async def cut_off() -> bool:
        return stubs.ai_calls(conversation_id)[0].was_cut_off

    await wait_for(cut_off, what="the first call is abandoned")
    turn.finish()
    job = await final_job(client, turn.job_id)
    assert job["status"] == "completed"
    assert job["message_ids"] == [turn.body["message_id"], body["message_id"]]
    assert len(stubs.deliveries(conversation_id)) == 1
    superseded = [it for it in await inside.jobs(conversation_id) if it["status"] == "superseded"]
    assert [it["answered_by"] for it in superseded] == [turn.job_id]


async def test_restart_happens_at_most_five_times_a_job_then_messages_wait(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    bot = _bot(bots["restart"])
    turn = await start_turn(client, stubs, conversation_id, "0", **bot)
    for number in range(1, 6):
        result = await say(client, conversation_id, str(number), **bot)
        assert result["job_id"] == turn.job_id
        await asked_ai(stubs, conversation_id, number + 1)
    sixth = await say(client, conversation_id, "6", **bot)
    seventh = await say(client, conversation_id, "7", **bot)
    assert sixth["job_id"] == seventh["job_id"] != turn.job_id
    turn.finish()
    assert (await final_job(client, turn.job_id))["consolidated_messages"] == 6
    assert (await final_job(client, sixth["job_id"]))["consolidated_messages"] == 2
    calls = [it.body["message"] for it in stubs.ai_calls(conversation_id)]
    assert len(calls) == 7
    assert calls[5:] == ["0\n1\n2\n3\n4\n5", "6\n7"]
    assert len(stubs.deliveries(conversation_id)) == 2


async def test_a_restarted_caller_asking_again_waits_for_the_outcome(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    bot = _bot(bots["restart"])
    turn = await start_turn(client, stubs, conversation_id, **bot)
    await say(client, conversation_id, "second", **bot)
    await turn.caller
    again = asyncio.create_task(enhanced(client, turn.body))
    await asked_ai(stubs, conversation_id, 2)
    turn.finish()
    result = (await again)["result"]
    assert result["status"] == "completed"
    assert result["job_id"] == turn.job_id
    assert result["consolidated_messages"] == 2


# ----------------------------------------------------------------------------------------- reject


async def test_reject_marks_the_message_and_the_running_turn_goes_on(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    bot = _bot(bots["reject"])
    turn = await start_turn(client, stubs, conversation_id, **bot)
    body = message(conversation_id, "second", **bot)
    result = (await enhanced(client, body))["result"]
    assert result["status"] == "locked"
    assert result["reason"] == "processing_in_progress"
    assert result["queued"] is False
    assert result["job_id"] is None
    # Committed before the answer.
    own = (await inside.messages(conversation_id))[1]
    assert own["processed_at"] is not None
    assert (await job_of(client, str(own["job_id"])))["status"] == "rejected"

    turn.finish()
    first = await turn.caller
    assert first["status"] == "restart_needed"
    assert first["current_result"]["ai_response"]["response_text"] == "answer to first"
    assert [it["message_id"] for it in first["newer_messages"]] == [body["message_id"]]
    assert first["restart_job_id"] is None
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_a_rejected_message_is_not_said_to_the_ai_until_it_is_sent_again(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    bot = _bot(bots["reject"])
    turn = await start_turn(client, stubs, conversation_id, **bot)
    await say(client, conversation_id, "rejected", **bot)
    turn.finish()
    await turn.caller
    await say(client, conversation_id, "third", **bot)
    context = stubs.ai_calls(conversation_id)[1].body["context"]
    assert [it["content"] for it in context] == ["first", "answer to first"]


async def test_a_rejected_message_sent_again_gets_a_new_job_and_is_answered(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    bot = _bot(bots["reject"])
    turn = await start_turn(client, stubs, conversation_id, **bot)
    body = message(conversation_id, "second", **bot)
    await enhanced(client, body)
    rejected_job = str((await inside.messages(conversation_id))[1]["job_id"])
    # Still busy: rejected again.
    again = (await enhanced(client, body))["result"]
    assert (again["status"], again["queued"], again["job_id"]) == ("locked", False, None)
    turn.finish()
    await turn.caller

    result = (await enhanced(client, body))["result"]
    assert result["status"] == "completed"
    assert result["duplicate"] is False
    assert result["job_id"] != rejected_job
    assert result["ai_response"]["response_text"] == "answer to second"
    assert (await job_of(client, rejected_job))["status"] == "rejected"
    repeated = (await enhanced(client, body))["result"]
    assert (repeated["status"], repeated["duplicate"]) == ("completed", True)
    assert repeated["job_id"] == result["job_id"]


async def test_of_many_that_send_a_rejected_message_again_at_once_one_wins(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    bot = _bot(bots["reject"])
    turn = await start_turn(client, stubs, conversation_id, **bot)
    body = message(conversation_id, "second", **bot)
    await enhanced(client, body)
    turn.finish()
    await turn.caller
    answers = await asyncio.gather(*(enhanced(client, body) for _ in range(8)))
    results = [it["result"] for it in answers]
    assert {it["status"] for it in results} == {"completed"}
    assert len({it["job_id"] for it in results}) == 1
    assert sorted(it["duplicate"] for it in results) == [False] + [True] * 7
    assert [it.body["message"] for it in stubs.ai_calls(conversation_id)] == ["first", "second"]
    assert len(stubs.deliveries(conversation_id)) == 2


# -------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("policy", ["merge", "queue", "restart", "reject"])
async def test_an_idle_conversation_is_never_locked(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    policy: str,
) -> None:
    bot = _bot(bots.get(policy, "default"))
    for number in range(3):
        result = await say(client, conversation_id, str(number), **bot)
        assert result["status"] == "completed"


@pytest.mark.parametrize("policy", ["merge", "queue", "restart", "reject"])
async def test_locked_comes_within_100_ms(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    policy: str,
) -> None:
    bot = _bot(bots.get(policy, "default"))
    turn = await start_turn(client, stubs, conversation_id, **bot)
    seconds = []
    for number in range(8):
        started = time.monotonic()
        assert (await say(client, conversation_id, str(number), **bot))["status"] == "locked"
        seconds.append(time.monotonic() - started)
    turn.finish()
    await turn.caller
    assert min(seconds) < 0.1


async def test_a_turn_holds_at_most_fifty_messages(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    results = [await say(client, conversation_id, str(number)) for number in range(60)]
    turn.finish()
    await turn.caller
    for result in results:
        assert (await final_job(client, result["job_id"]))["status"] in ("completed", "superseded")
    calls = stubs.ai_calls(conversation_id)
    assert [len(it.body["messages"]) for it in calls] == [1, 50, 10]
    assert "\n".join(it.body["message"] for it in calls[1:]).split("\n") == [
        str(number) for number in range(60)
    ]


async def test_a_turn_never_mixes_bots(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    last = {}
    for content, bot in (("a", "short"), ("b", "short"), ("c", "described"), ("d", "short")):
        last = await say(client, conversation_id, content, **_bot(bots[bot]))
    turn.finish()
    await turn.caller
    await final_job(client, last["job_id"])
    calls = stubs.ai_calls(conversation_id)[1:]
    assert [(it.body["message"], it.body["bot"]["bot_id"]) for it in calls] == [
        ("a\nb", "short"),
        ("c", "described"),
        ("d", "short"),
    ]


async def test_locked_names_the_first_waiting_message_of_its_turn(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    third = await say(client, conversation_id, "third")
    found = await detail(admin, conversation_id)
    own = {it["message_id"]: it["job_id"] for it in found["messages"]}
    assert second["job_id"] == third["job_id"] == own[second["message_id"]]
    assert found["waiting_messages"] == 2
    assert found["ai_processing"] is True
    turn.finish()
    await turn.caller


async def test_every_message_of_a_random_burst_is_answered_exactly_once_and_in_order(
    client: httpx.AsyncClient, stubs: Stubs
) -> None:
    conversation_id = f"conv_{uuid.uuid4().hex}"
    answers = await asyncio.gather(*(say(client, conversation_id, f"m{it}") for it in range(30)))
    assert {it["status"] for it in answers} <= {"completed", "locked", "restart_needed"}
    for answer in answers:
        await final_job(client, answer["job_id"])
    said = [line for it in stubs.ai_calls(conversation_id) for line in it.body["message_ids"]]
    assert sorted(said) == sorted(it["message_id"] for it in answers)
    assert len(said) == 30
    keys = [it.idempotency_key for it in stubs.deliveries(conversation_id)]
    assert keys == [it.body["job_id"] for it in stubs.ai_calls(conversation_id)]
