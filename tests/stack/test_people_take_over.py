"""An agent's message, a transfer to an agent, the way back, and the end of a conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.stack.ask import (
    cancel_conversation,
    chat,
    detail,
    enhanced,
    job_of,
    message,
    say,
    start_turn,
)
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

TRANSFER = {
    "response_text": "A person will answer.",
    "actions": [
        {"type": "send_message", "data": {"message": "A person will answer."}},
        {"type": "transfer_to_agent", "data": {"reason": "asked for"}},
    ],
}
END = {"response_text": "Goodbye.", "actions": [{"type": "end_conversation", "data": {}}]}


async def _status(admin: httpx.AsyncClient, conversation_id: str) -> str:
    return str((await detail(admin, conversation_id))["status"])


async def test_an_agents_message_cancels_the_running_turn(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    agent = await say(client, conversation_id, "I take over", sender_type="agent")
    assert (agent["status"], agent["reason"]) == ("recorded", "not_from_user")
    result = await turn.caller
    assert (result["status"], result["reason"]) == ("failed", "agent_replied")

    async def cut_off() -> bool:
        return stubs.ai_calls(conversation_id)[0].was_cut_off

    await wait_for(cut_off, what="the AI call is abandoned")
    turn.finish()
    job = await job_of(client, turn.job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "agent_replied")
    assert stubs.deliveries(conversation_id) == []
    # Both sides of it are in the context of the next turn.
    await say(client, conversation_id, "thanks")
    context = stubs.ai_calls(conversation_id)[1].body["context"]
    assert [it["content"] for it in context] == ["first", "I take over"]


async def test_a_turn_that_an_agent_cancelled_leaves_no_fallback_and_no_dead_letter(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await say(client, conversation_id, "I take over", sender_type="agent")
    answer = await enhanced(client, turn.body)
    assert answer["success"] is False
    assert answer["result"]["reason"] == "agent_replied"
    assert (await inside.job(turn.job_id))["dead_letter_at"] is None
    assert await inside.actions(conversation_id) == []
    await turn.caller


async def test_an_agents_message_sent_again_does_not_cancel_a_later_turn(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    agent = message(conversation_id, "I take over", sender_type="agent")
    await enhanced(client, agent)
    turn = await start_turn(client, stubs, conversation_id)
    assert (await enhanced(client, agent))["result"]["duplicate"] is True
    assert not turn.caller.done()
    turn.finish()
    assert (await turn.caller)["status"] == "completed"


async def test_messages_that_wait_behind_a_cancelled_turn_are_answered(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    finish = stubs.hold(conversation_id)
    finish()
    await say(client, conversation_id, "I take over", sender_type="agent")
    await turn.caller

    async def answered() -> bool:
        return bool((await job_of(client, second["job_id"]))["status"] == "completed")

    await wait_for(answered, what="the waiting message is answered")


async def test_a_bot_may_stay_when_an_agent_speaks(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["stays"]}}
    turn = await start_turn(client, stubs, conversation_id, **bot)
    agent = await say(client, conversation_id, "I say too", sender_type="agent", **bot)
    assert agent["status"] == "recorded"
    assert not turn.caller.done()
    turn.finish()
    assert (await turn.caller)["status"] == "completed"
    assert len(stubs.deliveries(conversation_id)) == 1


async def test_after_a_transfer_the_bot_is_silent_until_it_is_resumed(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, TRANSFER)
    first = await say(client, conversation_id, "a person, please")
    assert first["status"] == "completed"
    assert [it["type"] for it in first["extracted_actions"]] == [
        "send_message",
        "transfer_to_agent",
    ]
    assert await _status(admin, conversation_id) == "with_agent"

    body = message(conversation_id, "are you there?")
    silent = (await enhanced(client, body))["result"]
    assert (silent["status"], silent["reason"]) == ("recorded", "with_agent")
    assert (await job_of(client, silent["job_id"]))["reason"] == "with_agent"
    assert (await enhanced(client, body))["result"] == {**silent, "duplicate": True}
    chatted = await chat(client, "<USER>hello?</USER>", conversation_id=conversation_id)
    assert (chatted["success"], chatted["status"]) == (True, "recorded")
    await say(client, conversation_id, "yes, I am", sender_type="agent")
    assert await _status(admin, conversation_id) == "with_agent"

    response = await admin.post(f"/api/v1/admin/conversations/{conversation_id}/resume")
    assert response.status_code == 200
    assert response.json()["success"] is True
    assert await _status(admin, conversation_id) == "active"
    again = await say(client, conversation_id, "thanks")
    assert again["status"] == "completed"
    assert [it["content"] for it in stubs.ai_calls(conversation_id)[1].body["context"]] == [
        "a person, please",
        "A person will answer.",
        "are you there?",
        "hello?",
        "yes, I am",
    ]


async def test_messages_that_wait_for_a_turn_that_transfers_are_recorded(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, TRANSFER)
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    assert second["status"] == "locked"
    turn.finish()
    assert (await turn.caller)["status"] == "restart_needed"

    async def recorded() -> bool:
        return bool((await job_of(client, second["job_id"]))["reason"] == "with_agent")

    await wait_for(recorded, what="the waiting message is recorded")
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_with_an_agent_it_stays_without_a_timeout(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    stubs.plan_ai(conversation_id, TRANSFER)
    await say(client, conversation_id)
    await _age(inside, admin, conversation_id)
    assert (await say(client, conversation_id))["reason"] == "with_agent"


async def test_after_the_handoff_timeout_without_a_message_the_bot_answers_again(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["returns"]}}
    stubs.plan_ai(conversation_id, TRANSFER)
    await say(client, conversation_id, **bot)
    assert (await say(client, conversation_id, **bot))["reason"] == "with_agent"
    await _age(inside, admin, conversation_id)
    assert (await say(client, conversation_id, "back", **bot))["status"] == "completed"
    assert await _status(admin, conversation_id) == "active"
    assert (await say(client, conversation_id, **bot))["status"] == "completed"


async def _age(inside: Inside, admin: httpx.AsyncClient, conversation_id: str) -> None:
    """Let all that was said be two hours old, for a new owner."""
    await inside.rows(
        "update messages set accepted_at = accepted_at - interval '2 hours' "
        "where conversation_id = $1",
        conversation_id,
    )
    await inside.rows(
        """update conversations set
            last_accepted_at = last_accepted_at - interval '2 hours',
            last_settled_at = last_settled_at - interval '2 hours'
        where conversation_id = $1""",
        conversation_id,
    )
    await cancel_conversation(admin, conversation_id)


async def test_a_bot_may_continue_after_a_transfer(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
) -> None:
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["continues"]}}
    stubs.plan_ai(conversation_id, TRANSFER)
    await say(client, conversation_id, **bot)
    assert (await say(client, conversation_id, "and?", **bot))["status"] == "completed"


async def test_a_rejected_transfer_transfers_nothing(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    bad = {"response_text": "Hi", "actions": [{"type": "transfer_to_agent", "data": {"reason": 5}}]}
    stubs.plan_ai(conversation_id, bad)
    await say(client, conversation_id)
    assert await _status(admin, conversation_id) == "active"


async def test_an_ended_conversation_is_opened_again_with_an_empty_context(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await say(client, conversation_id, "hello")
    stubs.plan_ai(conversation_id, END)
    assert (await say(client, conversation_id, "bye"))["status"] == "completed"
    assert await _status(admin, conversation_id) == "ended"
    assert (await detail(admin, conversation_id))["context_size"] == 0
    await say(client, conversation_id, "hello again")
    assert stubs.ai_calls(conversation_id)[2].body["context"] == []
    assert await _status(admin, conversation_id) == "active"
    await say(client, conversation_id, "more")
    assert [it["content"] for it in stubs.ai_calls(conversation_id)[3].body["context"]] == [
        "hello again",
        "answer to hello again",
    ]


async def test_messages_that_wait_when_a_conversation_ends_open_it_again(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, END)
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    turn.finish()
    await turn.caller

    async def answered() -> bool:
        return bool((await job_of(client, second["job_id"]))["status"] == "completed")

    await wait_for(answered, what="the waiting message is answered")
    assert stubs.ai_calls(conversation_id)[1].body["context"] == []
    assert await _status(admin, conversation_id) == "active"


async def test_an_agents_message_while_idle_is_context_only(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    await asyncio.gather(
        *(say(client, conversation_id, f"note {it}", sender_type="agent") for it in range(3))
    )
    result = await say(client, conversation_id, "hello")
    assert result["status"] == "completed"
    assert len(stubs.ai_calls(conversation_id)[0].body["context"]) == 3


async def test_resuming_an_unknown_conversation_is_not_found(
    admin: httpx.AsyncClient, conversation_id: str
) -> None:
    response = await admin.post(f"/api/v1/admin/conversations/{conversation_id}/resume")
    assert response.status_code == 404
