"""Reads for the ingress, the hosts and the supervisor. All raise ``DatabaseUnavailable``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from storage.claims import read_pending_messages
from storage.cursors import LATEST, InvalidCursor, decode_cursor, page_of
from storage.job_view import job_view
from storage.postgres import Database, Row, queries
from storage.records import JobStatus, PendingPoke, StoredMessage
from storage.views import (
    ActionView,
    ConversationDetail,
    ConversationPage,
    ConversationStatistics,
    ConversationView,
    JobView,
    MessageView,
    PostgresStatistics,
    StuckConversation,
)

__all__ = [
    "InvalidCursor",
    "conversation_detail",
    "conversation_epoch",
    "conversation_statistics",
    "find_job",
    "find_jobs",
    "job_statuses",
    "list_conversations",
    "next_pokes",
    "pending_messages",
    "pending_pokes",
    "postgres_statistics",
    "stored_outcome",
    "stuck_conversations",
    "unknown_conversations",
]

_SQL = queries("reads")
_SWEEP_SQL = queries("sweep")

CONVERSATION_STATUSES = ("active", "with_agent", "ended")
MOST_MESSAGES, MOST_JOBS, MOST_ACTIONS = 100, 100, 200
# Up to here conversations are counted; beyond, the server's own estimate has to do.
MOST_COUNTED = 100_000
# A search looks through the latest of each status only; who waits, through the longest waiting.
MOST_SEARCHED = 10_000
# The sweeper looks at so many messages for each conversation it may name.
_MESSAGES_A_POKE = 20


async def find_job(database: Database, job_id: str) -> JobView | None:
    """Return a job, or None if there is none (or ``job_id`` is not a UUID)."""
    return await _read_job(database, _SQL["job"], job_id)


async def find_jobs(database: Database, job_ids: Sequence[str]) -> list[JobView]:
    """Return those of the jobs that are there. The ids are UUIDs."""
    rows = await database.fetch(_SQL["jobs"], [UUID(it) for it in job_ids])
    return [job_view(row) for row in rows]


async def job_statuses(database: Database, job_ids: Sequence[str]) -> dict[str, JobStatus]:
    """Return the states of those of the jobs that are there. The ids are UUIDs."""
    rows = await database.fetch(_SQL["job_statuses"], [UUID(it) for it in job_ids])
    return {row["job_id"]: JobStatus(row["status"]) for row in rows}


async def stored_outcome(database: Database, job_id: str) -> JobView | None:
    """Return the job that answers for ``job_id``: the one it was superseded by, or itself."""
    return await _read_job(database, _SQL["answering_job"], job_id)


async def _read_job(database: Database, sql: str, job_id: str) -> JobView | None:
    try:
        key = UUID(job_id)
    except ValueError:
        return None
    row = await database.fetch_one(sql, key)
    return None if row is None else job_view(row)


async def pending_messages(
    database: Database, conversation_id: str, limit: int
) -> tuple[int, list[StoredMessage]] | None:
    """Return the epoch and the oldest pending messages of a conversation; None: there is none."""
    row = await database.fetch_one(_SQL["epoch"], conversation_id)
    if row is None:
        return None
    pending = await read_pending_messages(database, [conversation_id], [limit])
    return row["epoch"], pending[conversation_id].messages if pending else []


async def conversation_epoch(database: Database, conversation_id: str) -> int | None:
    """Return the epoch that holds now; None: there is no such conversation."""
    row = await database.fetch_one(_SQL["epoch"], conversation_id)
    return None if row is None else int(row["epoch"])


async def unknown_conversations(database: Database, conversation_ids: list[str]) -> list[str]:
    """Return those of the ids that no conversation has."""
    rows = await database.fetch(_SQL["unknown_conversations"], conversation_ids)
    return [row["conversation_id"] for row in rows]


async def pending_pokes(
    database: Database, min_age_seconds: float, limit: int, dead_owners: Sequence[str] = ()
) -> list[PendingPoke]:
    """Return work that nobody seems to do, at most ``limit`` of messages and of deliveries each.

    One for each conversation with a message older than ``min_age_seconds`` that is in no live
    owner's running turn, and one for each whose first undelivered answer is due and has no live
    owner, or was not tried for ``min_age_seconds``. ``dead_owners`` are not alive, whatever the
    database says.
    """
    waiting = await database.fetch(
        _SWEEP_SQL["pending_messages"],
        min_age_seconds,
        limit * _MESSAGES_A_POKE,
        limit,
        list(dead_owners),
    )
    due = await database.fetch(
        _SWEEP_SQL["due_deliveries"], min_age_seconds, limit, list(dead_owners)
    )
    return [_poke_of(row) for row in waiting + due]


async def next_pokes(
    database: Database,
    min_age_seconds: float,
    conversations: int,
    after: str,
    dead_owners: Sequence[str] = (),
) -> tuple[list[PendingPoke], str]:
    """Return the same for the messages of the next ``conversations`` that have pending ones.

    They are those with ids after ``after``. Also returns where to go on: "" after the last.
    """
    rows = await database.fetch(
        _SWEEP_SQL["next_pending"], min_age_seconds, conversations, after, list(dead_owners)
    )
    pokes = [_poke_of(row) for row in rows if row["message_id"] is not None]
    return pokes, rows[-1]["conversation_id"] if len(rows) == conversations else ""


def _poke_of(row: Row) -> PendingPoke:
    return PendingPoke(
        conversation_id=row["conversation_id"],
        epoch=row["epoch"],
        message_id=row.get("message_id"),
        job_id=row["job_id"],
        owner=row["owner"],
    )


async def list_conversations(
    database: Database,
    *,
    limit: int,
    cursor: str | None = None,
    status: str | None = None,
    search: str = "",
    waiting: bool = False,
) -> ConversationPage:
    """Return a page of conversations, the last accepted first. Raises ``InvalidCursor``.

    ``search``: those with it in their ids, among the latest ``MOST_SEARCHED``, and the one that has
    it as its id. ``waiting``: those with messages to answer or answers to deliver, found by the
    ``MOST_SEARCHED`` messages that have waited longest and as many deliveries that are due next.
    """
    before, before_id = decode_cursor(cursor) if cursor else (LATEST, "")
    statuses = [status] if status else list(CONVERSATION_STATUSES)
    place = (statuses, before, before_id, limit + 1)
    if waiting:
        query = _SQL["conversation_ids_that_wait"]
        found = await database.fetch(query, *place, search, MOST_SEARCHED)
    elif search:
        query = _SQL["conversation_ids_by_search"]
        found = await database.fetch(query, *place, search, MOST_SEARCHED)
    else:
        found = await database.fetch(_SQL["conversation_ids_by_recency"], *place)
    shown, next_cursor = page_of(found, limit, _place_of)
    rows = await database.fetch(_SQL["conversations"], [row["conversation_id"] for row in shown])
    return ConversationPage(
        total_conversations=await _count_conversations(database),
        conversations=[ConversationView(**dict(row)) for row in rows],
        next_cursor=next_cursor,
    )


def _place_of(row: Row) -> tuple[datetime, str]:
    return row["last_accepted_at"], row["conversation_id"]


async def _count_conversations(database: Database) -> int:
    row = await database.fetch_one(_SQL["conversation_estimate"])
    if row is not None and row["conversations"] > MOST_COUNTED:
        return int(row["conversations"])
    row = await database.fetch_one(_SQL["conversation_count"])
    return 0 if row is None else int(row["conversations"])


async def conversation_detail(
    database: Database, conversation_id: str
) -> ConversationDetail | None:
    """Return everything about a conversation (its latest messages, jobs and actions), or None."""
    row = await database.fetch_one(_SQL["conversations"], [conversation_id])
    if row is None:
        return None
    retry = await database.fetch_one(_SQL["next_retry"], conversation_id)
    messages = await database.fetch(
        _SQL["messages_of_conversation"], conversation_id, MOST_MESSAGES
    )
    jobs = await database.fetch(_SQL["jobs_of_conversation"], conversation_id, MOST_JOBS)
    actions = await database.fetch(_SQL["actions_of_conversation"], conversation_id, MOST_ACTIONS)
    return ConversationDetail(
        conversation=ConversationView(**dict(row)),
        next_retry_at=retry["next_retry_at"] if retry else None,
        messages=[MessageView(**dict(message)) for message in messages],
        jobs=[job_view(job) for job in jobs],
        actions=[ActionView(**dict(action)) for action in actions],
    )


async def conversation_statistics(database: Database) -> ConversationStatistics:
    """Return how many conversations there are and how many of them are active."""
    total = await _count_conversations(database)
    row = await database.fetch_one(_SQL["activity"], list(CONVERSATION_STATUSES))
    if row is None:
        return ConversationStatistics(total, 0, 0, 0)
    return ConversationStatistics(total, row["recent"], row["old"], row["active_processing"])


async def stuck_conversations(
    database: Database,
    *,
    ai_timeout_seconds: float,
    ai_timeouts_by_bot: Mapping[str, float] | None = None,
    limit: int = 100,
) -> list[StuckConversation]:
    """Return conversations that do not get on, the longest stuck first.

    Those are turns running for longer than twice their bot's AI timeout (``ai_timeout_seconds``
    for bots that ``ai_timeouts_by_bot`` does not name), and messages waiting with no live owner
    for 30 s.
    """
    timeouts = dict(ai_timeouts_by_bot or {})
    shortest = min([ai_timeout_seconds, *timeouts.values()])
    rows = await database.fetch(
        _SQL["stuck_conversations"],
        # Nothing younger than this can be stuck.
        min(30.0, 2 * shortest),
        list(timeouts),
        list(timeouts.values()),
        ai_timeout_seconds,
        limit,
    )
    return [StuckConversation(**dict(row)) for row in rows]


async def postgres_statistics(database: Database) -> PostgresStatistics | None:
    """Return the size and load of the database and of this process's pool."""
    row = await database.fetch_one(_SQL["postgres_statistics"])
    if row is None:
        return None
    return PostgresStatistics(
        **dict(row),
        pool_open=database.open_connections,
        pool_idle=database.idle_connections,
        pool_max=database.max_connections,
    )
