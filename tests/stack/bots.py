"""Bots that differ from the default one in what a test is about."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import quote

import httpx

from tests.stack.ask import say
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs

__all__ = ["BOTS", "known_everywhere", "put_bot", "put_bots", "put_bots_of"]

PROBES = 8
"""Conversations asked at once: so many that surely every host has one of them."""

BOTS: dict[str, dict[str, Any]] = {
    "queue": {"busy_policy": "queue"},
    "restart": {"busy_policy": "restart"},
    "reject": {"busy_policy": "reject"},
    "debounce": {"debounce_ms": 1500, "debounce_max_ms": 30_000},
    "debounce-max": {"debounce_ms": 1500, "debounce_max_ms": 2500},
    "debounce-queue": {"debounce_ms": 1500, "busy_policy": "queue"},
    "stays": {"yield_to_agent": False},
    "continues": {"after_transfer": "continue"},
    "returns": {"handoff_timeout_minutes": 60},
    "disabled": {"enabled": False},
    "short": {"context_messages": 3},
    "hasty": {
        "fallback_message": "Please try again later.",
        "ai_core": {"timeout_seconds": 0.3, "max_attempts": 2},
    },
    "described": {
        "name": "Clinic",
        "ai_core": {
            "model": "model-1",
            "system_prompt": "Be kind.",
            "settings": {"temperature": 0.5},
        },
    },
    "overridden": {
        "name": "Everywhere",
        "ai_core": {"model": "model-1", "system_prompt": "Be kind."},
        "overrides": {
            "development": {"name": "Here", "ai_core": {"model": "model-2"}},
            "production": {"name": "There", "ai_core": {"model": "model-3"}},
        },
    },
}


async def put_bot(admin: httpx.AsyncClient, bot_id: str, **fields: Any) -> dict[str, Any]:
    """Replace a bot, or make it; return what the server says holds now."""
    response = await admin.put(f"/api/v1/admin/bots/{quote(bot_id, safe='')}", json=fields)
    assert response.status_code == 200, response.text
    bot: dict[str, Any] = response.json()
    return bot


async def put_bots(admin: httpx.AsyncClient, stubs: Stubs, bots: dict[str, dict[str, Any]]) -> None:
    """Make bots and wait until every host knows them."""
    for bot_id, fields in bots.items():
        await put_bot(admin, bot_id, **fields)
    # A host reads them all at once: who knows the last knows the others.
    last = f"last-{uuid.uuid4().hex}"
    await put_bot(admin, last)
    await known_everywhere(admin, stubs, last)


def put_bots_of(server: Server, stubs: Stubs, bots: dict[str, dict[str, Any]]) -> None:
    """Do that from where no loop runs: a fixture that several tests share."""

    async def put() -> None:
        async with server.client(ADMIN_TOKEN) as admin:
            await put_bots(admin, stubs, bots)

    asyncio.run(put())


async def known_everywhere(admin: httpx.AsyncClient, stubs: Stubs, bot_id: str) -> None:
    """Wait until the AI is told of a new bot by every host."""

    async def is_known() -> bool:
        return all([await _is_told(admin, stubs, bot_id) for _ in range(PROBES)])

    await wait_for(is_known, what=f"every host knows the bot {bot_id}")


async def _is_told(admin: httpx.AsyncClient, stubs: Stubs, bot_id: str) -> bool:
    conversation_id = f"probe_{uuid.uuid4().hex}"
    await say(admin, conversation_id, metadata={"bot_id": bot_id})
    (call,) = stubs.ai_calls(conversation_id)
    return bool(call.body["bot"]["bot_id"] == bot_id)
