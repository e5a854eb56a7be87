"""Jobs followed over Server-Sent Events, by a real server over pretended storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from ingress import event_stream, job_events
from ingress.job_events import JobEvents, JobStream
from ingress.server import IngressServer, bind_listener
from storage.records import JobStatus
from tests.stack.server import wait_for
from tests.unit.ingress.conftest import MESSAGES_TOKEN, World
from tests.unit.ingress.fakes import job

JOB = "11111111-2222-3333-4444-555555555555"
OTHER = "11111111-2222-3333-4444-666666666666"
HEADERS = {"Authorization": f"Bearer {MESSAGES_TOKEN}"}


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[tuple[httpx.AsyncClient, IngressServer]]:
    listener = bind_listener("127.0.0.1", 0)
    server = IngressServer(world.app, before_closing=lambda: None)
    server.config.lifespan = "off"
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await server.ready.wait()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=30) as client:
            yield client, server
    finally:
        server.should_exit = True
        await running


def path_of(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}/events"


async def next_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    """Return the data of the next event, and skip what is none."""
    name = None
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            assert name == "status"
            data: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return data
    raise AssertionError("the stream has ended")


def change(world: World, status: JobStatus, job_id: str = JOB, *, is_told: bool = True) -> None:
    world.store.jobs[job_id] = job(job_id, status)
    if is_told:
        world.gateway.hear_of_job(job_id)


async def test_each_state_is_one_event_and_the_last_one_ends_the_stream(world: World) -> None:
    change(world, JobStatus.QUEUED)
    async with serving(world) as (client, _), client.stream("GET", path_of(JOB)) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-request-id"]
        lines = response.aiter_lines()
        assert (await next_event(lines))["status"] == "queued"
        change(world, JobStatus.PROCESSING)
        assert (await next_event(lines))["status"] == "processing"
        change(world, JobStatus.COMPLETED, is_told=False)  # told to another instance
        shown = (await client.get(f"/api/v1/jobs/{JOB}")).json()
        assert await next_event(lines) == shown
        assert "".join([line async for line in lines]) == ""


async def test_of_a_final_job_there_is_one_event(world: World) -> None:
    change(world, JobStatus.SUPERSEDED)
    async with serving(world) as (client, _):
        text = (await client.get(path_of(JOB))).text
        assert text.count("event: status") == 1
        head = await client.head(path_of(JOB))
        assert (head.status_code, head.content) == (200, b"")


async def test_what_is_no_known_job_is_not_found(world: World) -> None:
    for job_id in (JOB, "x"):
        answer = await world.get(path_of(job_id), MESSAGES_TOKEN)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await world.client.get(path_of(JOB))).status_code == 401


async def test_a_heartbeat_keeps_the_stream_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert event_stream.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05)
    change(world, JobStatus.QUEUED)
    async with serving(world) as (client, _), client.stream("GET", path_of(JOB)) as response:
        async for line in response.aiter_lines():
            if line == ": heartbeat":
                return
    raise AssertionError("there was none")


async def test_all_are_looked_for_at_once_and_who_leaves_is_forgotten(world: World) -> None:
    change(world, JobStatus.QUEUED)
    change(world, JobStatus.QUEUED, OTHER)
    async with (
        serving(world) as (client, _),
        client.stream("GET", path_of(OTHER)) as other,
    ):
        async with client.stream("GET", path_of(JOB)) as response:
            followed = response.aiter_lines()
            await next_event(followed)

            async def one_look_for_both() -> bool:
                return any(set(it) == {"job_statuses", JOB, OTHER} for it in world.store.calls)

            await wait_for(one_look_for_both)

        async def one_is_left() -> bool:
            return world.store.calls[-1] == ("job_statuses", OTHER)

        await wait_for(one_is_left, what="who has gone is not looked for")
        lines = other.aiter_lines()
        await next_event(lines)
        del world.store.jobs[OTHER]  # erased
        assert [line async for line in lines if line] == []
    world.store.calls.clear()
    await asyncio.sleep(3 * job_events.PAUSE_SECONDS)
    assert world.store.calls == []  # nobody listens any more


async def test_a_database_that_is_away_for_a_while_ends_no_stream(world: World) -> None:
    change(world, JobStatus.QUEUED)
    async with serving(world) as (client, _), client.stream("GET", path_of(JOB)) as response:
        lines = response.aiter_lines()
        await next_event(lines)
        world.store.is_away = True
        world.store.calls.clear()

        async def was_asked() -> bool:
            return len(world.store.calls) > 1

        await wait_for(was_asked)
        world.store.is_away = False
        change(world, JobStatus.FAILED, is_told=False)
        assert (await next_event(lines))["status"] == "failed"


async def test_past_the_limit_a_stream_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_events, "MAX_STREAMS", 1)
    change(world, JobStatus.QUEUED)
    async with serving(world) as (client, _):
        async with client.stream("GET", path_of(JOB)) as response:
            lines = response.aiter_lines()
            await next_event(lines)
            refused = await client.get(path_of(JOB))
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["Retry-After"]) >= 1

        async def is_let_in() -> bool:
            async with client.stream("GET", path_of(JOB)) as again:
                return again.status_code == 200

        await wait_for(is_let_in, what="the place of who has gone is free")


async def test_of_those_let_in_at_the_same_time_no_more_stay_than_there_is_room_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_events, "MAX_STREAMS", 1)
    events = JobEvents(world.store, world.gateway)
    change(world, JobStatus.QUEUED)
    followed = [events.follow(JobStream(world.store.jobs[JOB])) for _ in range(2)]
    events.check_room()  # nobody has begun
    assert (await anext(followed[0])).status is JobStatus.QUEUED
    assert [it async for it in followed[1]] == []
    await followed[0].aclose()
    events.check_room()


async def test_a_server_that_stops_ends_its_streams_first(world: World) -> None:
    change(world, JobStatus.PROCESSING)
    async with serving(world) as (client, server), client.stream("GET", path_of(JOB)) as response:
        lines = response.aiter_lines()
        await next_event(lines)
        server.should_exit = True
        # It ends as a response does, and not as a broken connection.
        assert [line async for line in lines if line and line != ": heartbeat"] == []


async def test_who_reads_nothing_has_the_latest_states_kept(world: World) -> None:
    stream = job_events.JobStream(job(JOB, JobStatus.QUEUED))
    for number in range(100):
        stream.put(job(JOB, (JobStatus.PROCESSING, JobStatus.QUEUED)[number % 2]))
    stream.put(job(JOB, JobStatus.COMPLETED))
    stream.put(job(JOB, JobStatus.COMPLETED))
    states = [it.status async for it in stream.states()]
    assert len(states) == job_events.MAX_KEPT
    assert states[-1] is JobStatus.COMPLETED
