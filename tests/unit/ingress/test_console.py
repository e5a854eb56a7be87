"""The operator console: what browsers are given, and what it is kept up to date with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any
from unittest.mock import AsyncMock

import jsonschema_rs
import pytest

from ingress import event_stream, overview_feed
from ingress.overview import OVERVIEW_METRICS, sums_of
from ingress.routes.console import CONSOLE_FILES
from storage.dead_letters import DeadLetterPage
from storage.metrics import ADDED_LATENCY, TURNS
from storage.views import StuckConversation
from tests.stack.server import wait_for
from tests.unit.ingress.conftest import ADMIN_TOKEN, MESSAGES_TOKEN, World
from tests.unit.ingress.test_job_events import serving

OVERVIEW, EVENTS = "/api/v1/admin/overview", "/api/v1/admin/events"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def test_the_page_is_open_and_lets_nothing_in_from_elsewhere(world: World) -> None:
    page = await world.client.get("/console")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    # Nothing inline, which the policy would not let run.
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page.text) == []


async def test_every_file_is_our_own_and_names_no_other_place(world: World) -> None:
    names = {it.name for it in files("ingress").joinpath("static", "console").iterdir()}
    assert names == CONSOLE_FILES | {"index.html"}
    page = (await world.client.get("/console")).text
    used = set(re.findall(r'(?:src|href)="/console/([^"]+)"', page))
    for name in CONSOLE_FILES:
        file = await world.client.get(f"/console/{name}")
        assert file.status_code == 200
        assert file.headers["x-content-type-options"] == "nosniff"
        # The names of XML's vocabularies are no addresses: nobody asks for them.
        text = file.text.replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[a-z0-9]", text) == []
        assert re.findall(r"@import|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text) == []
        used |= set(re.findall(r'from "\./([^"]+)"', text))
    assert "://" not in page
    assert used == CONSOLE_FILES


@pytest.mark.parametrize("name", ["x.js", "index.html", "..%2F..%2Fapp.py"])
async def test_no_other_file_is_given(world: World, name: str) -> None:
    answer = await world.client.get(f"/console/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", [OVERVIEW, EVENTS])
async def test_there_is_no_data_without_the_admins_token(world: World, path: str) -> None:
    world.store.calls.clear()
    assert (await world.client.get(path)).status_code == 401
    assert (await world.get(path, MESSAGES_TOKEN)).status_code == 403
    assert world.store.calls == []


async def test_the_overview_is_what_the_description_says(world: World) -> None:
    world.store.stuck = [StuckConversation("c", "turn_too_long", "host-0#1", "j", 70.5, 2)]
    world.store.letters = DeadLetterPage(4, [], None)
    shown = (await world.get(OVERVIEW)).json()
    assert (shown["status"], shown["total_dead_letters"]) == ("healthy", 4)
    assert shown["stuck_conversations"][0]["conversation_id"] == "c"
    assert shown["actors"] == world.gateway.describe_actors()
    assert shown["figures"]["messages_in_flight"]["values"] == {"": [7]}
    assert shown["grafana_url"] is None
    document = (await world.client.get("/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/OverviewAnswer", "components": document["components"]}
    jsonschema_rs.validator_for(schema).validate(shown)


async def test_grafana_is_linked_where_a_setting_names_it(world: World) -> None:
    async with world.client_with(grafana_url="https://grafana.example") as client:
        shown = (await client.get(OVERVIEW, headers=ADMIN)).json()
    assert shown["grafana_url"] == "https://grafana.example"


async def test_with_the_database_away_the_overview_says_so(world: World) -> None:
    world.store.is_away = True
    answer = await world.get(OVERVIEW)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["postgres_status"]) == ("unhealthy", "disconnected")
    assert shown["total_dead_letters"] is None
    assert shown["statistics"]["total_conversations"] is None


async def test_what_is_dear_is_counted_now_and_then_only(world: World) -> None:
    for _ in range(3):
        await world.get(OVERVIEW)
    asked = [it[0] for it in world.store.calls]
    assert (asked.count("dead_letters"), asked.count("statistics")) == (1, 1)
    assert asked.count("stuck") == 3


def test_figures_are_summed_over_processes() -> None:
    one = {TURNS.name: {"completed": [3.0]}, "chat_orchestrator_unknown": {"": [1.0]}}
    other = {TURNS.name: {"completed": [4.0], "failed": [1.0]}}
    length = len(ADDED_LATENCY.bounds) + 2
    old = {ADDED_LATENCY.name: {"": [1.0] * (length - 1)}}  # of another release
    new = {ADDED_LATENCY.name: {"": [1.0] * length}}
    sums = sums_of({"a": one, "b": other, "c": old, "d": new, "e": new})
    assert len(sums) == len(OVERVIEW_METRICS)
    assert sums["turns_total"] == {
        "kind": "counter",
        "bounds": None,
        "values": {"completed": [7.0], "failed": [1.0]},
    }
    assert sums["added_latency_seconds"]["values"] == {"": [2.0] * length}
    assert sums["added_latency_seconds"]["bounds"] == list(ADDED_LATENCY.bounds)


async def next_overview(lines: AsyncIterator[str]) -> dict[str, Any]:
    async for line in lines:
        if line.startswith("event: "):
            assert line == "event: overview"
        elif line.startswith("data: "):
            data: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return data
    raise AssertionError("the stream has ended")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_feed, "LOOK_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
async def test_the_stream_tells_how_everything_is_now(world: World) -> None:
    async with (
        serving(world) as (client, _),
        client.stream("GET", EVENTS, headers=ADMIN) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        first = await next_overview(lines)
        assert first["statistics"]["stuck_conversations"] == 0
        world.store.stuck = [StuckConversation("c", "no_owner", None, None, 31.0, 1)]

        async def is_told() -> bool:
            return bool((await next_overview(lines))["statistics"]["stuck_conversations"])

        await wait_for(is_told)
        world.store.is_away = True

        async def is_told_of_that() -> bool:
            return bool((await next_overview(lines))["postgres_status"] == "disconnected")

        await wait_for(is_told_of_that)


async def test_who_joins_is_told_at_once_and_all_share_a_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_feed, "LOOK_SECONDS", 3600)
    async with (
        serving(world) as (client, _),
        client.stream("GET", EVENTS, headers=ADMIN) as one,
        client.stream("GET", EVENTS, headers=ADMIN) as other,
    ):
        of_one, of_other = one.aiter_lines(), other.aiter_lines()
        assert (await next_overview(of_one))["status"] == "healthy"
        assert (await next_overview(of_other))["status"] == "healthy"
        assert [it[0] for it in world.store.calls].count("stuck") <= 2


async def test_the_headers_of_the_stream_come_without_it(world: World) -> None:
    async with serving(world) as (client, _):
        head = await client.head(EVENTS, headers=ADMIN)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert "stuck" not in [it[0] for it in world.store.calls]


@pytest.mark.usefixtures("quick")
async def test_nobody_watches_nobody_looks(world: World) -> None:
    async with serving(world) as (client, _):
        async with client.stream("GET", EVENTS, headers=ADMIN) as response:
            await next_overview(response.aiter_lines())

        async def is_quiet() -> bool:
            world.store.calls.clear()
            await asyncio.sleep(5 * overview_feed.LOOK_SECONDS)
            return not world.store.calls

        await wait_for(is_quiet)


@pytest.mark.usefixtures("quick")
async def test_a_stream_ends_by_itself_so_that_its_token_is_checked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_feed, "LONGEST_STREAM_SECONDS", 0.1)
    async with serving(world) as (client, _):
        text = (await client.get(EVENTS, headers=ADMIN)).text
    assert text.count("event: overview") >= 1


async def test_past_the_limit_a_stream_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_feed, "MAX_WATCHERS", 1)
    async with (
        serving(world) as (client, _),
        client.stream("GET", EVENTS, headers=ADMIN) as response,
    ):
        await next_overview(response.aiter_lines())
        refused = await client.get(EVENTS, headers=ADMIN)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")


async def test_of_those_let_in_at_the_same_time_no_more_stay_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview_feed, "MAX_WATCHERS", 1)
    looking = AsyncMock()
    looking.look.return_value = {"status": "healthy"}
    feed = overview_feed.OverviewFeed(looking)
    watched = [feed.follow(overview_feed.OverviewStream()) for _ in range(2)]
    feed.check_room()  # nobody has begun
    assert await anext(watched[0]) == {"status": "healthy"}
    assert [it async for it in watched[1]] == []
    await watched[0].aclose()
    feed.check_room()


async def test_a_server_that_stops_ends_its_streams_first(world: World) -> None:
    async with (
        serving(world) as (client, server),
        client.stream("GET", EVENTS, headers=ADMIN) as response,
    ):
        lines = response.aiter_lines()
        await next_overview(lines)
        server.should_exit = True
        rest = [line async for line in lines if line and line != ": heartbeat"]
        # It ends as a response does, and not as a broken connection.
        assert len(rest) % 2 == 0


def test_the_heartbeat_is_that_of_all_streams() -> None:
    assert event_stream.HEARTBEAT_SECONDS == 15
