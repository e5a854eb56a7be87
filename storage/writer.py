"""The storage writer: one transaction for all that its callers ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import structlog

from storage.accept import accept_messages
from storage.batch import Batcher, QueueFull
from storage.claims import claim_conversations, renew_owners
from storage.codec import (
    MAX_BATCH_CHARACTERS,
    MAX_QUEUED_CHARACTERS,
    OperationKind,
    Result,
    StorageFailure,
    decode_batch,
    encode_results,
    weight_of,
)
from storage.deliveries import record_deliveries, start_deliveries
from storage.postgres import (
    Database,
    DatabaseConflict,
    DatabaseRejected,
    DatabaseUnavailable,
)
from storage.records import (
    Accepted,
    AcceptOutcome,
    Claim,
    ClaimOutcome,
    FencedOutcome,
    JobStatus,
    MessageSettlement,
    NewMessage,
)
from storage.turns import commit_turns, settle_messages, start_turns

__all__ = ["StorageWriter"]

logger = structlog.get_logger()

Item = TypeVar("Item")

_Write = Callable[[Database, list[Any]], Awaitable[list[Any]]]

_WRITES: dict[OperationKind, _Write] = {
    OperationKind.ACCEPT: accept_messages,
    OperationKind.CLAIM: claim_conversations,
    OperationKind.START_TURN: start_turns,
    OperationKind.COMMIT_TURN: commit_turns,
    OperationKind.SETTLE: settle_messages,
    OperationKind.START_DELIVERY: start_deliveries,
    OperationKind.RECORD_DELIVERY: record_deliveries,
    OperationKind.RENEW: renew_owners,
}
_CONFLICT_ATTEMPTS = 5


class StorageWriter:
    """Takes encoded operations and answers each of them; made to be a Ray actor.

    Operations of one kind share transactions, one at a time; kinds run side by side. It connects
    when it is first used.
    """

    def __init__(
        self,
        database_url: str,
        *,
        max_batch: int = 500,
        max_queued: int = 20_000,
        statement_timeout_seconds: float = 10.0,
    ) -> None:
        self._url = database_url
        self._statement_timeout_seconds = statement_timeout_seconds
        self._connecting = asyncio.Lock()
        self._database: Database | None = None
        self._batchers: dict[OperationKind, Batcher[Any, Result]] = {
            kind: Batcher(
                partial(self._flush, kind),
                max_batch=max_batch,
                max_queued=max_queued,
                weigh=weight_of,
                max_weight=MAX_BATCH_CHARACTERS,
                max_queued_weight=MAX_QUEUED_CHARACTERS,
            )
            for kind in OperationKind
        }

    def __repr__(self) -> str:
        return "StorageWriter"

    async def execute(self, batch: bytes) -> bytes:
        """Do what ``encode_batch`` encoded; the answer is for ``decode_results``, in its order.

        Never raises because of the database: see ``StorageFailure``. Raises ``ValueError`` if
        ``batch`` is not what it should be.
        """
        operations = decode_batch(batch)
        places: dict[OperationKind, list[int]] = {}
        for place, (kind, _) in enumerate(operations):
            places.setdefault(kind, []).append(place)
        answers = await asyncio.gather(
            *(
                self._submit(kind, [operations[place][1] for place in kind_places])
                for kind, kind_places in places.items()
            )
        )
        results: list[Result] = [StorageFailure.UNAVAILABLE] * len(operations)
        for kind_places, kind_answers in zip(places.values(), answers, strict=True):
            for place, answer in zip(kind_places, kind_answers, strict=True):
                results[place] = answer
        return encode_results(results)

    async def ping(self) -> bool:
        """Whether the database answers."""
        try:
            await (await self._connected()).fetch("select 1")
        except DatabaseUnavailable:
            return False
        return True

    def queue_lengths(self) -> dict[str, int]:
        """How many operations of each kind wait for a batch."""
        return {kind.value: batcher.queued for kind, batcher in self._batchers.items()}

    async def close(self) -> None:
        """Finish what was taken, then disconnect."""
        for batcher in self._batchers.values():
            await batcher.drain()
        if self._database is not None:
            await self._database.close()
            self._database = None

    async def _connected(self) -> Database:
        async with self._connecting:
            if self._database is None:
                self._database = await Database.connect(
                    self._url,
                    # One for each kind, and one for pings.
                    max_connections=len(OperationKind) + 1,
                    statement_timeout_seconds=self._statement_timeout_seconds,
                    application_name="storage-writer",
                    keys_only=True,
                )
            return self._database

    async def _submit(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        try:
            return await self._batchers[kind].submit(items)
        except QueueFull:
            return [StorageFailure.OVERLOADED] * len(items)

    async def _flush(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        results: list[Result] = [StorageFailure.UNAVAILABLE] * len(items)
        for round_ in _rounds(kind, items):
            answers = await self._write(kind, [items[place] for place in round_])
            for place, answer in zip(round_, answers, strict=True):
                results[place] = answer
        return results

    async def _write(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        """Write items that fit into one transaction; find the bad one by halves if there is one."""
        try:
            return await self._write_once(kind, items)
        except DatabaseUnavailable as error:
            logger.warning("write_failed", kind=kind.value, items=len(items), error=str(error))
            return [StorageFailure.UNAVAILABLE] * len(items)
        except DatabaseRejected as error:
            if len(items) == 1:
                logger.warning("item_refused", kind=kind.value, error=str(error))
                return [_refusal(kind, items[0], str(error))]
        middle = len(items) // 2
        first = await self._write(kind, items[:middle])
        return first + await self._write(kind, items[middle:])

    async def _write_once(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        database = await self._connected()
        for _ in range(_CONFLICT_ATTEMPTS - 1):
            try:
                return await _WRITES[kind](database, items)
            except DatabaseConflict as error:
                logger.info("write_repeated", kind=kind.value, items=len(items), error=str(error))
        return await _WRITES[kind](database, items)


def _key(kind: OperationKind, item: Any) -> Hashable:
    if isinstance(item, MessageSettlement):
        return item.conversation_id, item.message_id
    key: str = item.job_id if kind is OperationKind.ACCEPT else item.conversation_id
    return key


def _rounds(kind: OperationKind, items: list[Item]) -> list[list[int]]:
    """Group the places of ``items`` so that no group has two with the same key."""
    rounds: list[list[int]] = []
    seen: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        key = _key(kind, item)
        number = seen.get(key, 0)
        seen[key] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


def _refusal(kind: OperationKind, item: Any, error: str) -> Result:
    if isinstance(item, NewMessage):
        return Accepted(
            outcome=AcceptOutcome.REFUSED,
            message_id=item.message_id or "",
            job_id=item.job_id,
            job_status=JobStatus.REJECTED,
            epoch=0,
            seq=0,
            accepted_at=0.0,
            content=item.content,
            error=error,
        )
    if kind is OperationKind.CLAIM:
        return Claim(outcome=ClaimOutcome.MISSING)
    return FencedOutcome.REFUSED
