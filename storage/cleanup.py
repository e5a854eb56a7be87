"""Dropping conversations that nobody has used for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from storage.admin import ErasedRows, erase
from storage.postgres import Database, Row, queries
from storage.reads import CONVERSATION_STATUSES

__all__ = ["cleanup"]

_SQL = queries("admin")
_BATCH = 200
_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


async def cleanup(
    database: Database,
    max_age_hours: float,
    *,
    dry_run: bool = False,
    on_erased: Callable[[list[str]], Awaitable[None]] | None = None,
) -> ErasedRows:
    """Erase conversations idle for longer than ``max_age_hours``; return how many rows that is.

    Never one with unprocessed messages or undelivered actions, nor one that is in use. Each batch
    is a transaction of its own, after which ``on_erased`` gets the ids of its conversations.
    """
    total = ErasedRows()
    age_seconds = max_age_hours * 3600
    after: tuple[datetime, str] = (_BEGINNING, "")
    while True:
        page = await database.fetch(
            _SQL["idle_conversations"], list(CONVERSATION_STATUSES), age_seconds, *after, _BATCH
        )
        if not page:
            return total
        after = (page[-1]["last_accepted_at"], page[-1]["conversation_id"])
        if dry_run:
            total += await _count(database, page)
            continue
        erased_ids, erased = await _erase_idle(database, page, age_seconds)
        total += erased
        if erased_ids and on_erased is not None:
            await on_erased(erased_ids)


async def _count(database: Database, page: list[Row]) -> ErasedRows:
    row = await database.fetch_one(_SQL["count_rows"], [each["conversation_id"] for each in page])
    return ErasedRows(conversations=len(page), **(dict(row) if row else {}))


async def _erase_idle(
    database: Database, page: list[Row], age_seconds: float
) -> tuple[list[str], ErasedRows]:
    candidates = [row["conversation_id"] for row in page]
    async with database.transaction() as session:
        locked = await session.fetch(_SQL["lock_idle_conversations"], candidates, age_seconds)
        idle = await session.fetch(_SQL["still_idle"], [row["conversation_id"] for row in locked])
        conversation_ids = [row["conversation_id"] for row in idle]
        return conversation_ids, await erase(session, conversation_ids)
