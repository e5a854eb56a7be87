"""The configuration of bots: shown, replaced, and in force everywhere within five seconds."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.stack.ask import chat, detail, say, start_turn
from tests.stack.bots import known_everywhere, put_bot
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

BOTS = "/api/v1/admin/bots"
CONVERSATIONS = 8
LONGEST_CHANGE_SECONDS = 5


async def test_an_unknown_bot_gets_the_default_one(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    result = await say(client, conversation_id, metadata={"bot_id": "nobody-knows-this"})
    assert result["status"] == "completed"
    assert stubs.ai_calls(conversation_id)[0].body["bot"] == {
        "bot_id": "default",
        "name": "Default Bot",
        "model": None,
        "system_prompt": None,
        "settings": {},
    }
    answer = await chat(client, "<USER>a</USER>", resources={"bot_id": "nobody-knows-this"})
    assert answer["bot_name"] == "Default Bot"


async def test_what_holds_in_this_environment_is_laid_over_the_bot(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, bots: dict[str, str]
) -> None:
    await say(client, conversation_id, metadata={"bot_id": bots["overridden"]})
    bot = stubs.ai_calls(conversation_id)[0].body["bot"]
    assert bot["name"] == "Here"
    assert bot["model"] == "model-2"
    assert bot["system_prompt"] == "Be kind."


async def test_a_bot_is_shown_as_it_was_put_with_all_defaults(admin: httpx.AsyncClient) -> None:
    bot_id = f"bot {uuid.uuid4().hex}/%"
    put = await put_bot(admin, bot_id, name="Một", busy_policy="queue", ai_core={"model": "m"})
    expected: dict[str, Any] = {
        "bot_id": bot_id,
        "name": "Một",
        "enabled": True,
        "busy_policy": "queue",
        "debounce_ms": 0,
        "context_messages": 20,
        "fallback_message": None,
        "yield_to_agent": True,
        "after_transfer": "silent",
        "handoff_timeout_minutes": 0,
        "overrides": {},
    }
    assert put.items() >= expected.items()
    assert put["ai_core"]["model"] == "m"
    assert set(put["ai_core"]) == {
        "url",
        "path",
        "model",
        "system_prompt",
        "timeout_seconds",
        "max_attempts",
        "settings",
    }
    assert set(put["platform"]) == {"base_url", "path"}
    path = f"{BOTS}/{quote(bot_id, safe='')}"
    shown = await admin.get(path)
    assert shown.json() == put
    listed = (await admin.get(BOTS)).json()["bots"]
    assert put in listed
    assert any(it["bot_id"] == "default" and it["name"] == "Default Bot" for it in listed)

    # PUT replaces the whole bot.
    replaced = await put_bot(admin, bot_id, name="Hai")
    assert replaced["busy_policy"] == "merge"
    assert replaced["ai_core"]["model"] is None

    # What is shown can be put.
    again = await admin.put(path, json=shown.json())
    assert again.json() == put

    assert (await admin.delete(path)).status_code == 200
    assert (await admin.get(path)).status_code == 404
    assert (await admin.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("busy_policy", "panic"),
        ("debounce_ms", -1),
        ("debounce_ms", 10_001),
        ("debounce_ms", "10"),
        ("context_messages", -1),
        ("enabled", "yes"),
        ("after_transfer", "sing"),
        ("handoff_timeout_minutes", -1),
        ("name", ""),
        ("name", "a\0b"),
        ("fallback_message", 5),
        ("ai_core", {"url": "ftp://x"}),
        ("ai_core", {"timeout_seconds": 0}),
        ("ai_core", {"settings": []}),
        ("platform", {"base_url": "not a url"}),
        ("platform", []),
        ("overrides", {"development": {"busy_policy": "panic"}}),
        ("bot_id", "another"),
    ],
)
async def test_a_bad_bot_is_refused_by_name(
    admin: httpx.AsyncClient, field: str, value: Any
) -> None:
    bot_id = f"bad-{uuid.uuid4().hex}"
    response = await admin.put(f"{BOTS}/{bot_id}", json={"name": "ok", field: value})
    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"
    assert response.json()["details"][0]["field"].split(".")[0] == field
    assert (await admin.get(f"{BOTS}/{bot_id}")).status_code == 404


async def test_a_change_reaches_every_host_within_five_seconds(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs
) -> None:
    bot_id = f"changing-{uuid.uuid4().hex}"
    await put_bot(admin, bot_id, ai_core={"model": "before"})
    await known_everywhere(admin, stubs, bot_id)
    conversations = [f"conv_{uuid.uuid4().hex}" for _ in range(CONVERSATIONS)]

    async def model_of(conversation_id: str) -> str:
        await say(client, conversation_id, metadata={"bot_id": bot_id})
        return str(stubs.ai_calls(conversation_id)[-1].body["bot"]["model"])

    async def models() -> set[str]:
        return set(await asyncio.gather(*(model_of(it) for it in conversations)))

    assert await models() == {"before"}
    await put_bot(admin, bot_id, ai_core={"model": "after"})
    changed_at = time.monotonic()

    async def is_changed() -> bool:
        return await models() == {"after"}

    await wait_for(is_changed, what="every host uses the new model")
    assert time.monotonic() - changed_at < 5

    # The owners' hosts are not all the same one, else this would show nothing.
    owners = set()
    for conversation_id in conversations:
        found = await admin.get(f"/api/v1/admin/conversations/{conversation_id}")
        owners.add(found.json()["lease"]["owner"])
    assert len(owners) == 2


@dataclass(frozen=True)
class Pair:
    """Two messages, the second sent while the first one's turn ran, and what that was told."""

    conversation_id: str
    began_at: float
    answer: dict[str, Any]


async def test_a_changed_policy_holds_in_every_host_within_five_seconds_under_load(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs
) -> None:
    bot_id = f"policy-{uuid.uuid4().hex}"
    await put_bot(admin, bot_id, busy_policy="merge")
    await known_everywhere(admin, stubs, bot_id)
    pairs: list[Pair] = []
    is_over = asyncio.Event()

    async def send_pairs() -> None:
        while not is_over.is_set():
            pairs.append(await send_pair(client, stubs, bot_id))

    async with asyncio.TaskGroup() as load:  # ends with the first answer that is no 200
        for _ in range(CONVERSATIONS):
            load.create_task(send_pairs())
        await begun_after(pairs, time.monotonic())
        before = list(pairs)  # they are over
        await put_bot(admin, bot_id, busy_policy="reject")
        changed_at = time.monotonic()
        await begun_after(pairs, changed_at + LONGEST_CHANGE_SECONDS)
        is_over.set()

    after = [it for it in pairs if it.began_at > changed_at + LONGEST_CHANGE_SECONDS]
    assert {it.answer["queued"] for it in before} == {True}
    assert {it.answer["queued"] for it in after} == {False}
    assert await owners_of(admin, [it.conversation_id for it in after]) == await hosts(admin)


async def send_pair(client: httpx.AsyncClient, stubs: Stubs, bot_id: str) -> Pair:
    conversation_id = f"conv_{uuid.uuid4().hex}"
    began_at = time.monotonic()
    metadata = {"bot_id": bot_id}
    turn = await start_turn(client, stubs, conversation_id, metadata=metadata)
    answer = await say(client, conversation_id, "second", metadata=metadata)
    turn.finish()
    assert (await turn.caller)["status"] in ("completed", "restart_needed")
    return Pair(conversation_id, began_at, answer)


async def begun_after(pairs: list[Pair], moment: float) -> None:
    """Wait until so many conversations were begun after a moment that every host has some."""

    async def are_enough() -> bool:
        return sum(it.began_at > moment for it in pairs) >= 2 * CONVERSATIONS

    await wait_for(are_enough, timeout_seconds=60, what="the load goes on")


async def owners_of(admin: httpx.AsyncClient, conversation_ids: list[str]) -> set[str]:
    found = [await detail(admin, it) for it in conversation_ids]
    return {it["lease"]["owner"] for it in found if it["lease"]}


async def hosts(admin: httpx.AsyncClient) -> set[str]:
    actors = (await admin.get("/api/v1/admin/stats")).json()["actors"]
    return {it["owner"] for it in actors if it["kind"] == "ConversationHost"}


async def test_a_bot_may_have_an_ai_and_a_platform_of_its_own(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    bot_id = f"own-{uuid.uuid4().hex}"
    await put_bot(
        admin,
        bot_id,
        ai_core={"url": stubs.url, "path": "/nowhere", "max_attempts": 1},
        fallback_message="Sorry",
    )
    await known_by_chat(client, admin, bot_id)

    async def failed() -> bool:
        result = await say(client, conversation_id, metadata={"bot_id": bot_id})
        return bool(result["status"] == "failed" and result["reason"] == "ai_error")

    await wait_for(failed, what="the bot's own AI is asked, and is not there")
    assert stubs.deliveries(conversation_id)[-1].body["actions"] == [
        {"type": "send_message", "data": {"message": "Sorry"}}
    ]


async def known_by_chat(client: httpx.AsyncClient, admin: httpx.AsyncClient, bot_id: str) -> None:
    """Wait until the ingress knows a bot: it says its name."""

    async def is_known() -> bool:
        answer = await chat(client, "<USER>a</USER>", resources={"bot_id": bot_id})
        return bool(answer["bot_name"] == bot_id)

    await wait_for(is_known, what=f"the ingress knows the bot {bot_id}")
