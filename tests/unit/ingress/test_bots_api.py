from __future__ import annotations

import httpx
import pytest

from storage.bot_rows import TooManyBots
from storage.bots import DEFAULT_BOT
from tests.unit.ingress.conftest import ADMIN_TOKEN, World

BOTS = "/api/v1/admin/bots"


async def put(world: World, bot_id: str, body: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    return await world.client.put(f"{BOTS}/{bot_id}", json=body, headers=headers)


async def delete(world: World, bot_id: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    return await world.client.delete(f"{BOTS}/{bot_id}", headers=headers)


async def test_the_built_in_bot_is_there(world: World) -> None:
    assert (await world.get(BOTS)).json() == {"bots": [DEFAULT_BOT.as_json()]}
    assert (await world.get(f"{BOTS}/default")).json()["name"] == "Default Bot"


async def test_a_bot_is_put_and_shown_and_deleted(world: World) -> None:
    answer = await put(world, "sales", {"name": "Sales", "busy_policy": "queue"})
    assert answer.status_code == 200
    assert answer.json()["bot_id"] == "sales"
    shown = (await world.get(f"{BOTS}/sales")).json()
    assert shown == answer.json()
    assert (shown["busy_policy"], shown["context_messages"]) == ("queue", 20)
    again = await put(world, "sales", shown)
    assert again.json() == shown, "what was shown makes the same bot"
    assert (await delete(world, "sales")).json() == {"success": True, "bot_id": "sales"}
    assert (await delete(world, "sales")).status_code == 404
    refused = await delete(world, "default")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_put_replaces_the_whole_bot(world: World) -> None:
    await put(world, "b", {"name": "B", "debounce_ms": 500})
    assert (await put(world, "b", {"name": "B"})).json()["debounce_ms"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"busy_policy": "wait"}, "busy_policy"),
        ({"debounce_ms": 10_001}, "debounce_ms"),
        ({"debounce_ms": "5"}, "debounce_ms"),
        ({"ai_core": {"url": "ftp://x"}}, "ai_core.url"),
        ({"bot_id": "other"}, "bot_id"),
    ],
)
async def test_a_bad_bot_is_422(world: World, body: dict[str, object], field: str) -> None:
    answer = await put(world, "b", {"name": "B", **body})
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field


async def test_too_many_bots_are_422(world: World) -> None:
    world.store.put_error = TooManyBots("there are 1000 bots already")
    assert (await put(world, "b", {"name": "B"})).status_code == 422


async def test_an_id_is_percent_encoded(world: World) -> None:
    assert (await put(world, "a%2Fb", {"name": "B"})).json()["bot_id"] == "a/b"
    assert (await put(world, "x" * 256, {"name": "B"})).status_code == 422
    assert (await put(world, "a%00", {"name": "B"})).status_code == 404
