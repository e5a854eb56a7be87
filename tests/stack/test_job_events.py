"""Jobs followed over Server-Sent Events, wherever they are worked on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.stack.ask import cancel_job, chat, job_of, say, start_turn
from tests.stack.second_ingress import SecondIngress
from tests.stack.server import MESSAGES_TOKEN, Server
from tests.stack.stubs import Stubs


def _path(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}/events"


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    assert response.status_code == 200
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def _statuses(client: httpx.AsyncClient, job_id: str) -> list[str]:
    async with client.stream("GET", _path(job_id)) as response:
        return [job["status"] async for job in _events(response)]


async def test_a_job_is_followed_to_its_end(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    second = await say(client, conversation_id, "second")
    async with client.stream("GET", _path(second["job_id"])) as response:
        events = _events(response)
        assert (await anext(events))["status"] == "queued"
        turn.finish()
        rest = [job async for job in events]
    assert [job["status"] for job in rest] in (["processing", "completed"], ["completed"])
    assert rest[-1] == await job_of(client, second["job_id"])
    assert rest[-1]["result"]["ai_response"]["response_text"] == "answer to second"
    assert await _statuses(client, turn.job_id) == ["completed"]
    await turn.caller


async def test_another_server_follows_it_too_and_stops_all_the_same(
    client: httpx.AsyncClient,
    stubs: Stubs,
    server: Server,
    conversation_id: str,
    tmp_path: Path,
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    waiting = await chat(
        client, "<USER>waits</USER>", conversation_id=conversation_id, key=conversation_id
    )
    beside = await SecondIngress(server, tmp_path).start()
    headers = {"Authorization": f"Bearer {MESSAGES_TOKEN}"}
    async with httpx.AsyncClient(base_url=beside.url, headers=headers, timeout=60) as other:
        following = asyncio.create_task(_statuses(other, turn.job_id))
        await cancel_job(client, turn.job_id)
        assert (await following)[-1] == "cancelled"
        finish = stubs.hold(conversation_id)
        job_id = waiting["ai_job_id"]
        async with other.stream("GET", _path(job_id)) as response:
            events = _events(response)
            assert (await anext(events))["status"] in ("queued", "processing", "completed")
            # SIGTERM: the stream ends by itself, and does not hold the server up.
            await beside.stop()
            assert [job["status"] async for job in events if job["status"] == "failed"] == []
        finish()
    turn.finish()
    await turn.caller
