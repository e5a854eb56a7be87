"""Reads the stories of conversations from PostgreSQL and from the stubs."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from storage.postgres import Database
from tests.stack.history.events import Commit, Story
from tests.stack.stubs import Stubs

__all__ = ["read_stories"]

_CONVERSATIONS = """
select conversation_id, epoch from conversations where conversation_id = any($1::text[])
"""
_MESSAGES = """
select conversation_id, message_id, job_id::text, turn_job_id::text, seq, "position", "timestamp",
    processed_at is not null as is_processed, sender_type, content
from messages where conversation_id = any($1::text[]) order by conversation_id, seq
"""
_JOBS = """
select id::text, conversation_id, status, outcome_status, reason, superseded_by::text, message_ids,
    retried_by::text,
    epoch, extract(epoch from committed_at)::double precision as committed_at,
    committed_at is not null as is_committed,
    delivery_status, delivery_seq, delivery_attempts
from jobs where conversation_id = any($1::text[])
order by conversation_id, delivery_seq nulls last, committed_at
"""
_COMMITS = """
select conversation_id, job_id, coalesce(epoch, -1) as epoch, held_epoch,
    extract(epoch from at)::double precision as at
from audit.commits where conversation_id = any($1::text[]) order by id
"""
_SENDINGS = """
select conversation_id, job_id, extract(epoch from at)::double precision as at
from audit.sendings where conversation_id = any($1::text[]) order by id desc
"""
_TIMES = ("committed_at", "at")


async def read_stories(
    database: Database, stubs: Stubs, conversation_ids: list[str]
) -> dict[str, Story]:
    """Read them as they are now. Raises ``DatabaseUnavailable``."""
    conversations = await _read(database, _CONVERSATIONS, conversation_ids)
    messages = await _read(database, _MESSAGES, conversation_ids)
    jobs = await _read(database, _JOBS, conversation_ids)
    commits = None
    sendings: dict[str, list[dict[str, Any]]] = {}
    if await database.fetch("select 1 where to_regclass('audit.commits') is not null"):
        commits = await _read(database, _COMMITS, conversation_ids)
        sendings = await _read(database, _SENDINGS, conversation_ids)
    return {
        it: Story(
            it,
            epoch=conversations[it][0]["epoch"] if conversations[it] else 0,
            rows=[*messages[it]],
            jobs={row["id"]: row for row in jobs[it]},
            ai_calls=stubs.ai_calls(it),
            deliveries=stubs.deliveries(it),
            commits=None if commits is None else [Commit(**row) for row in commits[it]],
            # The first of several is the one that counts: it comes last.
            sent_at={row["job_id"]: row["at"] for row in sendings.get(it, [])},
        )
        for it in conversation_ids
    }


async def _read(
    database: Database, sql: str, conversation_ids: list[str]
) -> defaultdict[str, list[dict[str, Any]]]:
    """Return rows by conversation, with times on this process's monotonic clock."""
    ahead = time.time() - time.monotonic()
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for found in await database.fetch(sql, conversation_ids):
        row = dict(found)
        for name in _TIMES:
            if row.get(name) is not None:
                row[name] -= ahead
        key = row["conversation_id"]
        if sql in (_COMMITS, _SENDINGS):
            del row["conversation_id"]
        groups[key].append(row)
    return groups
