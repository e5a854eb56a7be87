"""Messages and deliveries that were given up: the list, and trying them again.

All raise ``DatabaseUnavailable``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from storage.admin import conversation_of_job
from storage.cursors import LATEST, decode_cursor, page_of
from storage.postgres import Database, Row, queries

__all__ = [
    "DEAD_LETTER_KINDS",
    "DeadLetter",
    "DeadLetterPage",
    "RetriedLetter",
    "list_dead_letters",
    "retry_all_dead_letters",
    "retry_dead_letter",
]

_SQL = queries("dead_letters")

DEAD_LETTER_KINDS = ("message", "delivery")
# Beyond, they are not counted.
MOST_COUNTED = 100_000
LETTERS_A_TRANSACTION = 100
# As many as a conversation may have on their way to the platform; for the rest, ask again later.
MOST_UNDELIVERED = 16
_ANY_NUMBER = 2**31
_LATEST = (LATEST, UUID(int=2**128 - 1))
_EARLIEST = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A turn that failed for good (``kind`` message), or an answer that the platform never took.

    Times are Unix seconds.
    """

    id: str
    """That of the job."""
    kind: str
    conversation_id: str
    message_ids: list[str]
    reason: str | None
    error: str | None
    attempts: int
    """Turns begun, or deliveries tried."""
    created_at: float
    dead_letter_at: float


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Some dead letters, the last given up first."""

    total_dead_letters: int
    dead_letters: list[DeadLetter]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RetriedLetter:
    """A dead letter that is tried again: by a new job, or (a delivery) by the same."""

    id: str
    kind: str
    conversation_id: str
    job_id: str


async def list_dead_letters(
    database: Database, *, limit: int, cursor: str | None = None, kind: str | None = None
) -> DeadLetterPage:
    """Return a page of dead letters. Raises ``InvalidCursor``."""
    before, before_id = _LATEST
    if cursor:
        before, before_id = _place_in(cursor)
    rows = await database.fetch(_SQL["dead_letters"], _kinds(kind), before, before_id, limit + 1)
    shown, next_cursor = page_of(rows, limit, _place_of)
    return DeadLetterPage(
        total_dead_letters=await count_dead_letters(database),
        dead_letters=[_letter(row) for row in shown],
        next_cursor=next_cursor,
    )


async def count_dead_letters(database: Database) -> int:
    """Return how many there are, up to ``MOST_COUNTED``."""
    row = await database.fetch_one(_SQL["count_dead_letters"], MOST_COUNTED)
    return 0 if row is None else int(row["dead_letters"])


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(
        id=str(row["id"]),
        kind=row["kind"],
        conversation_id=row["conversation_id"],
        message_ids=row["message_ids"],
        reason=row["reason"],
        error=row["error"],
        attempts=row["attempts"],
        created_at=row["created_at"].timestamp(),
        dead_letter_at=row["dead_letter_at"].timestamp(),
    )


async def retry_dead_letter(database: Database, letter_id: str) -> RetriedLetter | None:
    """Try one again; None: there is no such dead letter (any more). Of many callers one wins."""
    conversation_id = await conversation_of_job(database, letter_id)
    if conversation_id is None:
        return None
    retried = await _retry(database, [conversation_id], [UUID(letter_id)], _ANY_NUMBER)
    return retried[0] if retried else None


async def retry_all_dead_letters(
    database: Database, kind: str | None = None
) -> AsyncIterator[list[RetriedLetter]]:
    """Try all again that were given up until now, in transactions of bounded size.

    Deliveries that would make more than ``MOST_UNDELIVERED`` of their conversation stay.
    """
    row = await database.fetch_one(_SQL["now"])
    if row is None:
        return
    until, (after, after_id) = row["now"], _EARLIEST
    while True:
        page = await database.fetch(
            _SQL["dead_letter_ids"], _kinds(kind), until, after, after_id, LETTERS_A_TRANSACTION
        )
        if not page:
            return
        after, after_id = page[-1]["dead_letter_at"], page[-1]["id"]
        conversation_ids = sorted({found["conversation_id"] for found in page})
        ids = [found["id"] for found in page]
        yield await _retry(database, conversation_ids, ids, MOST_UNDELIVERED)


async def _retry(
    database: Database, conversation_ids: list[str], ids: Sequence[UUID], most_undelivered: int
) -> list[RetriedLetter]:
    async with database.transaction() as session:
        # What is decided about a job is decided under the lock of its conversation.
        await session.fetch(_SQL["lock_conversations"], conversation_ids)
        rows = await session.fetch(_SQL["retry_messages"], ids)
        rows += await session.fetch(_SQL["retry_deliveries"], ids, most_undelivered)
    return [RetriedLetter(**dict(row)) for row in rows]


def _kinds(kind: str | None) -> list[str]:
    return [kind] if kind else list(DEAD_LETTER_KINDS)


def _place_of(row: Row) -> tuple[datetime, str]:
    return row["dead_letter_at"], str(row["id"])


def _place_in(cursor: str) -> tuple[datetime, UUID]:
    moment, text = decode_cursor(cursor)
    try:
        return moment, UUID(text)
    except ValueError:  # made up: then it is the place before all of that moment
        return moment, _EARLIEST[1]
