"""Reads and writes bots. All functions raise ``DatabaseUnavailable`` or ``DatabaseRejected``."""

from __future__ import annotations

from typing import Any

import orjson
import structlog
from pydantic import ValidationError

from storage.bots import DEFAULT_BOT, AiCore, Bot, Platform
from storage.postgres import Database, Row, Session, queries

__all__ = [
    "MAX_BOTS",
    "TooManyBots",
    "bots_of",
    "delete_bot",
    "get_bot",
    "list_bots",
    "put_bot",
    "read_bot_rows",
]

MAX_BOTS = 1000
"""Every process keeps all of them in memory and reads them again every few seconds."""

SETTINGS_FIELDS = (
    "busy_policy",
    "debounce_ms",
    "debounce_max_ms",
    "context_messages",
    "fallback_message",
    "yield_to_agent",
    "after_transfer",
    "handoff_timeout_minutes",
)

log = structlog.get_logger()


class TooManyBots(Exception):
    """There are ``MAX_BOTS`` bots already; nothing was stored."""


async def read_bot_rows(database: Database) -> list[Row]:
    """Return the rows of all bots as they are; the same rows mean the same bots."""
    return await database.fetch(queries("bots")["read_bots"], None, MAX_BOTS + 1)


def bots_of(rows: list[Row]) -> list[Bot]:
    """Turn rows into bots; one that is not valid (written by hand) is left out and logged."""
    return [bot for row in rows if (bot := _to_bot(row)) is not None]


async def list_bots(database: Database) -> list[Bot]:
    """Return all stored bots by their ids; the default bot is among them only once it was put."""
    return bots_of(await read_bot_rows(database))


async def get_bot(database: Database, bot_id: str) -> Bot | None:
    """Return one bot, for the default bot at least the built-in one; None: there is none."""
    row = await database.fetch_one(queries("bots")["read_bots"], bot_id, 1)
    bot = None if row is None else _to_bot(row)
    return DEFAULT_BOT if bot is None and bot_id == DEFAULT_BOT.bot_id else bot


async def put_bot(database: Database, bot: Bot) -> None:
    """Replace the whole bot, or make it. Raises ``TooManyBots``."""
    statements = queries("bots")
    async with database.transaction() as session:
        await session.fetch(statements["lock_bot"], bot.bot_id)
        former = await session.fetch_one(statements["parts_of_bot"], bot.bot_id)
        if former is None:
            await _check_room(session, bot.bot_id)
        ai_core_id = await _insert_ai_core(session, bot.ai_core)
        platform_id = await _insert_platform(session, bot.platform)
        await session.fetch(
            statements["put_bot"],
            bot.bot_id,
            bot.name,
            bot.enabled,
            _json(bot.model_dump(include=set(SETTINGS_FIELDS))),
            _json(bot.as_json()["overrides"]),
            ai_core_id,
            platform_id,
        )
        await _delete_parts(session, former)


async def delete_bot(database: Database, bot_id: str) -> bool:
    """Delete a bot (the default one is built-in again then); return whether it was there."""
    statements = queries("bots")
    async with database.transaction() as session:
        await session.fetch(statements["lock_bot"], bot_id)
        former = await session.fetch_one(statements["parts_of_bot"], bot_id)
        await session.fetch(statements["delete_bot"], bot_id)
        await _delete_parts(session, former)
    return former is not None


async def _check_room(session: Session, bot_id: str) -> None:
    row = await session.fetch_one(queries("bots")["count_other_bots"], bot_id)
    if row is not None and row["bots"] >= MAX_BOTS:
        raise TooManyBots(f"there are {MAX_BOTS} bots already")


async def _insert_ai_core(session: Session, core: AiCore) -> object:
    row = await session.fetch_one(
        queries("bots")["insert_ai_core"],
        core.url,
        core.path,
        core.model,
        core.system_prompt,
        core.timeout_seconds,
        core.max_attempts,
        _json(core.settings),
    )
    return None if row is None else row["id"]


async def _insert_platform(session: Session, platform: Platform) -> object:
    row = await session.fetch_one(
        queries("bots")["insert_platform"], platform.base_url, platform.path
    )
    return None if row is None else row["id"]


async def _delete_parts(session: Session, former: Row | None) -> None:
    if former is not None:
        await session.fetch(queries("bots")["delete_ai_core"], former["ai_core_id"])
        await session.fetch(queries("bots")["delete_platform"], former["platform_id"])


def _to_bot(row: Row) -> Bot | None:
    core = {name: row[name] for name in AiCore.model_fields if name != "settings"}
    try:
        fields: dict[str, Any] = orjson.loads(row["settings"])
        return Bot.model_validate(
            {
                **{name: value for name, value in fields.items() if name in SETTINGS_FIELDS},
                "bot_id": row["bot_id"],
                "name": row["name"],
                "enabled": row["enabled"],
                "overrides": orjson.loads(row["overrides"]),
                "ai_core": {**core, "settings": orjson.loads(row["ai_settings"] or "{}")},
                "platform": {"base_url": row["base_url"], "path": row["platform_path"]},
            }
        )
    except (ValidationError, ValueError, AttributeError) as error:
        log.warning("stored_bot_invalid", bot_id=row["bot_id"], problem=type(error).__name__)
        return None


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
