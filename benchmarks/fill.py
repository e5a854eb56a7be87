"""Stored messages of former days, made by SQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

__all__ = ["count_messages", "fill"]

STATEMENTS = Path(__file__).with_name("fill.sql")
TIMEOUT_SECONDS = 600


def fill(database_url: str, messages: int, prefix: str, active: int) -> None:
    """Store so many messages: half in ``active`` conversations (``prefix``-1 and so on), half in
    others of ten messages each; then vacuum and analyse, as a server does by itself in time.
    """  # noqa: D205 - one sentence
    asyncio.run(_fill(database_url, messages, prefix, active))


def count_messages(database_url: str) -> int:
    """Return how many messages are stored."""
    return asyncio.run(_count(database_url))


async def _fill(database_url: str, messages: int, prefix: str, active: int) -> None:
    database = await asyncpg.connect(database_url)
    try:
        for name, conversations, turns in (
            (prefix, active, messages // 4 // active),
            ("former", messages // 20, 5),
        ):
            text = STATEMENTS.read_text().format(
                prefix=name, conversations=conversations, turns=turns
            )
            await database.execute(text, timeout=TIMEOUT_SECONDS)
        await database.execute("vacuum analyze", timeout=TIMEOUT_SECONDS)
        await database.execute("checkpoint", timeout=TIMEOUT_SECONDS)
    finally:
        await database.close()


async def _count(database_url: str) -> int:
    database = await asyncpg.connect(database_url)
    try:
        return int(await database.fetchval("select count(*) from messages"))
    finally:
        await database.close()
