"""Storing messages: many in one statement, each exactly once."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import msgspec

from storage.identity import DIGEST_WINDOW_SECONDS, Held, next_generation
from storage.postgres import Database, DatabaseConflict, Row, queries
from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage

__all__ = ["accept_messages"]

_SQL = queries("accept")
_MOST_ROUNDS = 5

_parts = msgspec.json.Decoder(list[str])


class _Fetcher(Protocol):
    async def fetch(self, sql: str, *arguments: object) -> list[Row]: ...


class _Row:
    """A message to accept under its final identity; ``answer`` comes at the end."""

    __slots__ = ("answer", "content", "is_known", "message", "message_id", "parts")

    def __init__(self, message: NewMessage) -> None:
        self.message = message
        self.message_id = message.message_id or ""
        self.content = message.content
        self.parts = message.parts
        self.is_known = False
        """Whether ``message_id`` is that of a message that is stored already."""
        self.answer: Accepted | None = None


async def accept_messages(database: Database, messages: list[NewMessage]) -> list[Accepted]:
    """Store ``messages`` and return what became of each, in order.

    Raises ``DatabaseRejected`` if PostgreSQL refuses any of them; some may be stored then, which
    does no harm: repeated, they are duplicates.
    """
    rows = [_Row(message) for message in messages]
    plain = [row for row in rows if row.message.message_id is not None and not row.message.parts]
    if plain:
        await _store(database, plain)
    if len(plain) < len(rows):
        special = [row for row in rows if row.message.message_id is None or row.message.parts]
        # The identity of these depends on what else is stored, so their conversations are locked
        # first. In a transaction of their own: one that has locked some conversations must not go
        # on to lock others.
        async with database.transaction() as session:
            await _identify(session, special)
            await _store(session, special)
    return [_answer_of(row) for row in rows]


def _answer_of(row: _Row) -> Accepted:
    if row.answer is None:  # it was erased again and again between two statements
        raise DatabaseConflict("a message vanished while it was looked up")
    return row.answer


async def _store(fetcher: _Fetcher, rows: list[_Row]) -> None:
    """Insert what is new, then look up what is not; repeat for rows that vanish in between."""
    for _ in range(_MOST_ROUNDS):
        new = [row for row in rows if row.answer is None and not row.is_known]
        if new:
            await _insert(fetcher, new)
        rows = [row for row in rows if row.answer is None]
        if not rows:
            return
        await _resolve(fetcher, rows)


async def _insert(fetcher: _Fetcher, rows: list[_Row]) -> None:
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


async def _resolve(fetcher: _Fetcher, rows: list[_Row]) -> None:
    """Answer for stored messages; a rejected one becomes pending again for the first who asks."""
    rejected: dict[tuple[str, str], tuple[_Row, str]] = {}
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


async def _find(fetcher: _Fetcher, rows: list[_Row]) -> list[tuple[_Row, Row]]:
    if not rows:
        return []
    found = await fetcher.fetch(
        _SQL["find_stored"],
        [row.message.conversation_id for row in rows],
        [row.message_id for row in rows],
    )
    return [(rows[line["ordinal"] - 1], line) for line in found]


async def _revive(fetcher: _Fetcher, candidates: list[tuple[_Row, str]]) -> None:
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


async def _identify(fetcher: _Fetcher, rows: list[_Row]) -> None:
    """Settle the message ids and contents of rows that have a digest or parts."""
    conversation_ids = sorted({row.message.conversation_id for row in rows})
    await fetcher.fetch(_SQL["lock_conversations"], conversation_ids)
    latest = await _latest_identities(fetcher, rows)
    held = await _held_parts(fetcher, conversation_ids)
    made: dict[tuple[str, str], str] = {}
    for row, (latest_id, holds) in zip(rows, latest, strict=True):
        message = row.message
        key = (message.conversation_id, message.message_id or message.digest or "")
        known_id = latest_id if holds else made.get(key)
        if known_id is not None:
            row.message_id = known_id
            row.is_known = True
            continue
        if message.message_id is None:
            row.message_id = next_generation(message.digest or "", latest_id)
        _drop_held_parts(row, held[message.conversation_id])
        made[key] = row.message_id


def _drop_held_parts(row: _Row, held: Held) -> None:
    parts = row.message.parts
    if parts:
        kept, last_message_id = held.split(parts)
        if not kept and last_message_id is not None:
            row.message_id = last_message_id
            row.is_known = True
            return
        if len(kept) < len(parts):
            row.parts = kept
            row.content = "\n".join(kept)
    held.add(row.message_id, row.parts or [row.content])


async def _latest_identities(fetcher: _Fetcher, rows: list[_Row]) -> list[tuple[str | None, bool]]:
    """Return for each row the latest message of its identity, and whether that still holds."""
    latest: list[tuple[str | None, bool]] = [(None, False)] * len(rows)
    found = await fetcher.fetch(
        _SQL["latest_identities"],
        [row.message.conversation_id for row in rows],
        [row.message.message_id for row in rows],
        [row.message.digest if row.message.message_id is None else None for row in rows],
        DIGEST_WINDOW_SECONDS,
    )
    for line in found:
        row = rows[line["ordinal"] - 1]
        holds = row.message.message_id is not None or line["holds"]
        latest[line["ordinal"] - 1] = (line["message_id"], holds)
    return latest


async def _held_parts(fetcher: _Fetcher, conversation_ids: list[str]) -> defaultdict[str, Held]:
    held: defaultdict[str, Held] = defaultdict(Held)
    for conversation_id, message_id, content, parts in await fetcher.fetch(
        _SQL["pending_parts"], conversation_ids
    ):
        held[conversation_id].add(message_id, _parts.decode(parts) if parts else [content])
    return held
