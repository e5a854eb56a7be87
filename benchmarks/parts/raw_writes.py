"""Writing the same rows without the writer: in raw batches, and row by row."""

from __future__ import annotations

import time

from benchmarks.parts.raw_sql import ACCEPT_BATCH, ACCEPT_ROW, COMMIT_BATCH, LOCKS, NO_LOCKS
from benchmarks.parts.servers import Servers
from benchmarks.parts.speed import Clock, Speed
from benchmarks.parts.writer_rows import (
    BATCH,
    COMMITS,
    CONVERSATIONS,
    MESSAGES,
    commits_of,
    messages,
)
from benchmarks.parts.writer_ways import claimed
from storage.postgres import Database
from storage.records import NewMessage

__all__ = ["accept_raw", "accept_row_by_row", "commit_raw", "lock_milliseconds"]

ROWS_ALONE = 1_500
LOCK_ROUNDS = 200


async def accept_raw(servers: Servers, url: str) -> Speed:
    """Store messages, each batch by one statement."""
    database = await _connect(url)

    async def work(batches: list[list[NewMessage]]) -> None:
        for batch in batches:
            await database.fetch(ACCEPT_BATCH, *_columns(batch))

    await work(_batches(messages(BATCH, CONVERSATIONS)))
    batches = _batches(messages(MESSAGES, CONVERSATIONS, BATCH))
    run = await Clock(servers).run(MESSAGES, lambda: work(batches))
    await database.close()
    return run


async def accept_row_by_row(servers: Servers, url: str) -> Speed:
    """Store messages, each in a transaction of its own."""
    database = await _connect(url)

    async def work(rows: list[NewMessage]) -> None:
        for row in rows:
            async with database.transaction() as session:
                for sql, names in ACCEPT_ROW:
                    await session.fetch(sql, *(getattr(row, name) for name in names))

    await work(messages(10, CONVERSATIONS))
    rows = messages(ROWS_ALONE, CONVERSATIONS, BATCH)
    run = await Clock(servers).run(ROWS_ALONE, lambda: work(rows))
    await database.close()
    return run


async def commit_raw(servers: Servers, url: str) -> Speed:
    """Write what committed turns write, each batch by one statement."""
    writer, accepted = await claimed(url)
    await writer.close()
    database = await _connect(url)
    commits = commits_of(accepted)

    async def work() -> None:
        for start in range(0, COMMITS, BATCH):
            batch = commits[start : start + BATCH]
            await database.fetch(
                COMMIT_BATCH,
                [it.conversation_id for it in batch],
                [it.message_ids[0] for it in batch],
                [it.job_id for it in batch],
                [it.reply for it in batch],
                [it.first_position for it in batch],
                [it.ai_response for it in batch],
                [it.extracted_actions for it in batch],
                [it.delivery_body for it in batch],
                [it.actions[0].data for it in batch],
            )

    run = await Clock(servers).run(COMMITS, work)
    await database.close()
    return run


async def lock_milliseconds(url: str) -> float:
    """Return what the locks of a batch cost: taking them, less not doing so."""
    database = await _connect(url)
    ids = [it.conversation_id for it in messages(BATCH, BATCH)]
    seconds = []
    for sql in (LOCKS, NO_LOCKS):
        await database.fetch(sql, ids)
        began = time.perf_counter()
        for _ in range(LOCK_ROUNDS):
            await database.fetch(sql, ids)
        seconds.append((time.perf_counter() - began) / LOCK_ROUNDS)
    await database.close()
    return (seconds[0] - seconds[1]) * 1000


async def _connect(url: str) -> Database:
    return await Database.connect(url, max_connections=1, keys_only=True)


def _columns(batch: list[NewMessage]) -> list[list[object]]:
    return [
        [it.conversation_id for it in batch],
        [it.message_id for it in batch],
        [it.job_id for it in batch],
        [it.sender_id for it in batch],
        [it.sender_type for it in batch],
        [it.content for it in batch],
        [it.timestamp for it in batch],
        [it.bot_id for it in batch],
    ]


def _batches(rows: list[NewMessage]) -> list[list[NewMessage]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
