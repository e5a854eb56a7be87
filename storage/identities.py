"""Which stored message, if any, a message that comes is; read from the database."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import msgspec

from storage.identity import DIGEST_WINDOW_SECONDS, Held, next_generation
from storage.postgres import Row, queries
from storage.records import Accepted, NewMessage

__all__ = ["AcceptRow", "Fetcher", "identify"]

_SQL = queries("accept")


class _Pending(msgspec.Struct, array_like=True):
    """A message that waits, as ``identities`` gives it."""

    message_id: str
    content: str
    parts: list[str] | None


_pending = msgspec.json.Decoder(list[_Pending])


class Fetcher(Protocol):
    """What runs a statement: a database, or a session of one."""

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Return the rows of a statement."""
        ...


class AcceptRow:
    """A message to accept under its final identity; ``answer`` comes at the end."""

    __slots__ = (
        "answer",
        "content",
        "expected_seq",
        "is_known",
        "message",
        "message_id",
        "parts",
    )

    def __init__(self, message: NewMessage) -> None:
        self.message = message
        self.answer: Accepted | None = None
        self.forget()

    def forget(self) -> None:
        """Have no identity but what the message itself says."""
        message = self.message
        self.message_id = message.message_id or ""
        self.content = message.content
        self.parts = message.parts
        self.is_known = False
        """Whether ``message_id`` is that of a message that is stored already."""
        self.expected_seq: int | None = None
        """``last_seq`` of the conversation when this identity was found; None: it does not matter.
        With another one the identity may be another."""


async def identify(fetcher: Fetcher, rows: list[AcceptRow]) -> None:
    """Settle the message ids and contents of rows that have a digest or parts."""
    held: defaultdict[str, Held] = defaultdict(Held)
    made: dict[tuple[str, str], str] = {}
    found = await fetcher.fetch(
        _SQL["identities"],
        [row.message.conversation_id for row in rows],
        [row.message.message_id for row in rows],
        [row.message.digest if row.message.message_id is None else None for row in rows],
        DIGEST_WINDOW_SECONDS,
    )
    for conversation_id, _, _, _, pending in found:
        for each in _pending.decode(pending) if pending is not None else ():
            held[conversation_id].add(each.message_id, each.parts or [each.content])
    for row, (_, expected_seq, latest_id, holds, _) in zip(rows, found, strict=True):
        row.expected_seq = expected_seq
        _decide(row, latest_id, held[row.message.conversation_id], made, holds=holds)


def _decide(
    row: AcceptRow,
    latest_id: str | None,
    held: Held,
    made: dict[tuple[str, str], str],
    *,
    holds: bool,
) -> None:
    """``latest_id``: the latest message of the row's identity, ``holds``: whether it still does."""
    message = row.message
    key = (message.conversation_id, message.message_id or message.digest or "")
    known_id = latest_id if holds else made.get(key)
    if known_id is not None:
        row.message_id = known_id
        row.is_known = True
        return
    if message.message_id is None:
        row.message_id = next_generation(message.digest or "", latest_id)
    _drop_held_parts(row, held)
    made[key] = row.message_id


def _drop_held_parts(row: AcceptRow, held: Held) -> None:
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
