"""A bot may wait for the rest of a burst before it asks the AI."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx

from tests.stack.ask import cancel_job, chat, enhanced, final_job, job_of, message, say
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs


async def _begin(
    client: httpx.AsyncClient, inside: Inside, conversation_id: str, bot_id: str
) -> asyncio.Task[dict[str, Any]]:
    """Send the first message of a burst and wait until it is stored."""
    caller = asyncio.create_task(say(client, conversation_id, "first", metadata={"bot_id": bot_id}))

    async def is_stored() -> bool:
        return len(await inside.messages(conversation_id)) == 1

    await wait_for(is_stored, what="the first message is stored")
    return caller


async def test_a_burst_becomes_one_turn(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    first = await _begin(client, inside, conversation_id, bots["debounce"])
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["debounce"]}}
    later = [await say(client, conversation_id, content, **bot) for content in ("second", "third")]
    assert not first.done()

    result = await first
    assert result["status"] == "completed"
    assert result["consolidated_messages"] == 3
    for answer in later:
        assert (answer["status"], answer["queued"]) == ("locked", True)
        assert answer["job_id"] == result["job_id"]
    (call,) = stubs.ai_calls(conversation_id)
    assert call.body["message"] == "first\nsecond\nthird"
    job = await job_of(client, result["job_id"])
    assert job["consolidated_messages"] == 3
    superseded = [it for it in await inside.jobs(conversation_id) if it["status"] == "superseded"]
    assert [it["answered_by"] for it in superseded] == [result["job_id"]] * 2
    assert len(stubs.deliveries(conversation_id)) == 1


async def test_a_burst_is_one_turn_under_queue_too(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    first = await _begin(client, inside, conversation_id, bots["debounce-queue"])
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["debounce-queue"]}}
    second = await say(client, conversation_id, "second", **bot)
    result = await first
    assert second["job_id"] == result["job_id"]
    assert result["consolidated_messages"] == 2


async def test_a_burst_that_does_not_end_is_answered_after_the_longest_wait(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    first = await _begin(client, inside, conversation_id, bots["debounce-max"])
    stubs.hold(conversation_id)()
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["debounce-max"]}}
    # Each message comes before the pause is over: only the longest wait can end this.
    for number in itertools.count():
        await say(client, conversation_id, str(number), **bot)
        if stubs.ai_calls(conversation_id):
            break
        assert number < 1000
    assert (await first)["consolidated_messages"] > 1


async def test_the_asynchronous_endpoint_counts_what_the_burst_holds(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    resources = {"bot_id": bots["debounce"]}
    answers = [
        await chat(
            client,
            f"<USER>{content}</USER>",
            conversation_id=conversation_id,
            resources=resources,
        )
        for content in ("one", "two", "three")
    ]
    assert [it["status"] for it in answers] == ["ai_processing_started", "locked", "locked"]
    assert [it["consolidated_messages"] for it in answers] == [1, 2, 3]
    assert len({it["ai_job_id"] for it in answers}) == 1
    job = await final_job(client, answers[0]["ai_job_id"])
    assert job["consolidated_messages"] == 3
    assert stubs.ai_calls(conversation_id)[0].body["message"] == "one\ntwo\nthree"


async def test_the_same_message_again_during_the_wait_waits_for_the_outcome_too(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
) -> None:
    body = message(conversation_id, metadata={"bot_id": bots["debounce"]})
    answers = await asyncio.gather(*(enhanced(client, body) for _ in range(3)))
    results = [it["result"] for it in answers]
    assert [it["status"] for it in results] == ["completed"] * 3
    assert len({it["job_id"] for it in results}) == 1
    assert len(stubs.ai_calls(conversation_id)) == 1


async def test_an_agents_message_during_the_wait_cancels_the_turn(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    first = await _begin(client, inside, conversation_id, bots["debounce"])
    bot: dict[str, Any] = {"metadata": {"bot_id": bots["debounce"]}}
    second = await say(client, conversation_id, "second", **bot)
    await say(client, conversation_id, "I take over", sender_type="agent", **bot)
    result = await first
    assert (result["status"], result["reason"]) == ("failed", "agent_replied")
    assert result["job_id"] == second["job_id"]
    assert stubs.ai_calls(conversation_id) == []
    assert stubs.deliveries(conversation_id) == []
    said = sorted(await inside.messages(conversation_id), key=lambda it: it["position"])
    assert [it["content"] for it in said] == ["first", "second", "I take over"]


async def test_cancelling_the_job_of_the_wait_ends_it(
    client: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    bots: dict[str, str],
    inside: Inside,
) -> None:
    first = await _begin(client, inside, conversation_id, bots["debounce"])
    (job,) = await inside.jobs(conversation_id)
    assert (await cancel_job(client, job["job_id"]))["status"] == "cancelled"
    result = await first
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    assert stubs.ai_calls(conversation_id) == []
