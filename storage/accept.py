"""Storing messages: many in one statement, each exactly once."""

from __future__ import annotations

import msgspec

from storage.identities import AcceptRow, Fetcher, identify
from storage.postgres import Database, DatabaseConflict, Row, queries
from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage

__all__ = ["accept_messages"]

_SQL = queries("accept")
_MOST_ROUNDS = 5


async def accept_messages(database: Database, messages: list[NewMessage]) -> list[Accepted]:
    """Store ``messages`` and return what became of each, in order.

    Raises ``DatabaseRejected`` if PostgreSQL refuses any of them; some may be stored then, which
    does no harm: repeated, they are duplicates.
    """
    rows = [AcceptRow(message) for message in messages]
    plain = [row for row in rows if row.message.message_id is not None and not row.message.parts]
    if plain:
        await _store(database, plain)
    if len(plain) < len(rows):
        await _store_special(
            database, [row for row in rows if row.message.message_id is None or row.message.parts]
        )
    return [_answer_of(row) for row in rows]


async def _store_special(database: Database, rows: list[AcceptRow]) -> None:
    """Store messages whose identity depends on what else is stored.

    That is read without a lock first; the insert is refused if the conversation has got another
    message meanwhile, which is rare: it comes from another writer. Then the conversations are
    locked before they are looked at. In a transaction of their own: one that has locked some
    conversations must not go on to lock others.
    """
    try:
        await identify(database, rows)
        await _store(database, rows)
    except DatabaseConflict:
        rows = [row for row in rows if row.answer is None]
        async with database.transaction() as session:
            ids = sorted({row.message.conversation_id for row in rows})
            await session.fetch(_SQL["lock_conversations"], ids)
            for row in rows:
                row.forget()
            await identify(session, rows)
            await _store(session, rows)


def _answer_of(row: AcceptRow) -> Accepted:
    if row.answer is None:  # it was erased again and again between two statements
        raise DatabaseConflict("a message vanished while it was looked up")
    return row.answer


async def _store(fetcher: Fetcher, rows: list[AcceptRow]) -> None:
    """Insert what is new, then look up what is not; repeat for rows that vanish in between."""
    for _ in range(_MOST_ROUNDS):
        new = [row for row in rows if row.answer is None and not row.is_known]
        if new:
            await _insert(fetcher, new)
        rows = [row for row in rows if row.answer is None]
        if not rows:
            return
        await _resolve(fetcher, rows)


async def _insert(fetcher: Fetcher, rows: list[AcceptRow]) -> None:
    messages = [row.message for row in rows]
    inserted = await fetcher.fetch(
        _SQL["insert_messages"],
        [message.conversation_id for message in messages],
        [row.message_id for row in rows],
        [message.job_id for message in messages],
        [message.sender_id for message in messages],
        [message.sender_type for message in messages],
        [row.content for row in rows],
        [message.timestamp for message in messages],
        [message.bot_id for message in messages],
        [message.metadata for message in messages],
        [message.attachments for message in messages],
        [message.digest if message.message_id is None else None for message in messages],
        [msgspec.json.encode(row.parts).decode() if row.parts else None for row in rows],
        [message.context for message in messages],
        [row.expected_seq for row in rows],
    )
    by_job = {row.message.job_id: row for row in rows}
    for job_id, seq, previous_seq, epoch, status, accepted_at, unfinished_jobs in inserted:
        row = by_job[job_id]
        row.answer = Accepted(
            outcome=AcceptOutcome.ACCEPTED,
            message_id=row.message_id,
            job_id=job_id,
            job_status=JobStatus.QUEUED,
            epoch=epoch,
            seq=seq,
            previous_seq=previous_seq,
            accepted_at=accepted_at,
            content=row.content,
            unfinished_jobs=unfinished_jobs,
            conversation_status=status,
        )


async def _resolve(fetcher: Fetcher, rows: list[AcceptRow]) -> None:
    """Answer for stored messages; a rejected one becomes pending again for the first who asks."""
    rejected: dict[tuple[str, str], tuple[AcceptRow, str]] = {}
    for row, found in await _find(fetcher, rows):
        if found["own_status"] == JobStatus.REJECTED:
            key = (row.message.conversation_id, row.message_id)
            rejected.setdefault(key, (row, found["own_job_id"]))
        else:
            row.answer = _answer(AcceptOutcome.DUPLICATE, found, 0)
    if not rejected:
        return
    await _revive(fetcher, list(rejected.values()))
    # The others now find the new job, whoever made it.
    for row, found in await _find(fetcher, [row for row in rows if row.answer is None]):
        if found["own_status"] != JobStatus.REJECTED:
            row.answer = _answer(AcceptOutcome.DUPLICATE, found, 0)


async def _find(fetcher: Fetcher, rows: list[AcceptRow]) -> list[tuple[AcceptRow, Row]]:
    if not rows:
        return []
    found = await fetcher.fetch(
        _SQL["find_stored"],
        [row.message.conversation_id for row in rows],
        [row.message_id for row in rows],
    )
    return [(rows[line["ordinal"] - 1], line) for line in found]


async def _revive(fetcher: Fetcher, candidates: list[tuple[AcceptRow, str]]) -> None:
    revived = await fetcher.fetch(
        _SQL["revive_messages"],
        [row.message.conversation_id for row, _ in candidates],
        [row.message_id for row, _ in candidates],
        [old_job_id for _, old_job_id in candidates],
        [row.message.job_id for row, _ in candidates],
    )
    by_job = {row.message.job_id: row for row, _ in candidates}
    for line in revived:
        row = by_job[line["job_id"]]
        row.answer = _answer(AcceptOutcome.REVIVED, line, line["unfinished_jobs"])


def _answer(outcome: AcceptOutcome, line: Row, unfinished_jobs: int) -> Accepted:
    is_revived = outcome is AcceptOutcome.REVIVED
    return Accepted(
        outcome=outcome,
        message_id=line["message_id"],
        job_id=line["job_id"],
        job_status=JobStatus.QUEUED if is_revived else JobStatus(line["job_status"]),
        epoch=line["epoch"],
        seq=line["seq"],
        accepted_at=line["accepted_at"],
        content=line["content"],
        unfinished_jobs=unfinished_jobs,
        conversation_status=line["status"],
    )
