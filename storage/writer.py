"""The storage writer: one transaction for all that its callers ask at the same time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from storage.accept import accept_messages
from storage.batch import Batcher, QueueFull
from storage.claim_records import Claim, ClaimOutcome
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
from storage.database_watch import DatabaseWatch
from storage.deliveries import record_deliveries, start_deliveries
from storage.held_rows import HeldRows
from storage.metric_types import Figures, figures_of
from storage.metrics import (
    QUEUED_WRITES,
    WRITE_BATCHES,
    WRITE_FAILURES,
    WRITE_LATENCY,
    WRITER,
    encode_figures,
)
from storage.postgres import (
    Database,
    DatabaseConflict,
    DatabaseLocked,
    DatabaseRejected,
    DatabaseUnavailable,
)
from storage.records import Accepted, AcceptOutcome, FencedOutcome, JobStatus, NewMessage
from storage.rounds import rounds
from storage.turns import commit_turns, settle_messages, start_turns

__all__ = ["StorageWriter"]

logger = structlog.get_logger()

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
_LOCK_TIMEOUT_SECONDS = 2.0
"""How long a batch waits for rows that somebody else has locked."""
_SHORT_LOCK_TIMEOUT_SECONDS = 0.1
"""The same, while it is found out which rows these are."""


class StorageWriter:
    """Takes encoded operations and answers each of them; made to be a Ray actor.

    Operations of one kind share transactions, one at a time; kinds run side by side. It connects
    when it is first used. While the database is known to be away everything is refused at once.
    """

    def __init__(
        self,
        database_url: str,
        name: str = "writer-0",
        *,
        max_batch: int = 500,
        max_queued: int = 20_000,
        statement_timeout_seconds: float = 10.0,
    ) -> None:
        self._url = database_url
        self._name = name
        self._statement_timeout_seconds = statement_timeout_seconds
        self._connecting = asyncio.Lock()
        self._database: Database | None = None
        self._impatient: Database | None = None
        self._watch = DatabaseWatch(database_url)
        self._held = HeldRows()
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
        return f"StorageWriter({socket.gethostname()}/{self._name.removeprefix('writer-')})"

    async def execute(self, batch: bytes) -> bytes:
        """Do what ``encode_batch`` encoded; the answer is for ``decode_results``, in its order.

        Never raises because of the database: see ``StorageFailure``. Raises ``ValueError`` if
        ``batch`` is not what it should be.
        """
        operations = decode_batch(batch)
        places: dict[OperationKind, list[int]] = {}
        for place, (kind, _) in enumerate(operations):
            places.setdefault(kind, []).append(place)
        submissions = [
            self._submit(kind, [operations[place][1] for place in kind_places])
            for kind, kind_places in places.items()
        ]
        # Most batches are of one kind, and need no further task.
        answers = (
            [await submissions[0]] if len(submissions) == 1 else await asyncio.gather(*submissions)
        )
        results: list[Result] = [StorageFailure.UNAVAILABLE] * len(operations)
        for kind_places, kind_answers in zip(places.values(), answers, strict=True):
            for place, answer in zip(kind_places, kind_answers, strict=True):
                results[place] = answer
        return encode_results(results)

    async def ping(self) -> bool:
        """Whether the database answers."""
        return await self._watch.answers()

    async def counted(self) -> bytes:
        """Return ``figures``, encoded."""
        return encode_figures(self.figures())

    def figures(self) -> Figures:
        """Return what the metrics of this process hold."""
        for kind, length in self.queue_lengths().items():
            QUEUED_WRITES.set(length, kind)
        return figures_of(WRITER)

    def queue_lengths(self) -> dict[str, int]:
        """How many operations of each kind wait for a batch."""
        return {kind.value: batcher.queued for kind, batcher in self._batchers.items()}

    async def close(self) -> None:
        """Finish what was taken, then disconnect."""
        for batcher in self._batchers.values():
            await batcher.drain()
        await self._watch.stop()
        for database in (self._database, self._impatient):
            if database is not None:
                await database.close()
        self._database = self._impatient = None

    async def _connected(self) -> tuple[Database, Database]:
        """Return the pool for batches, and the one that waits for no lock."""
        async with self._connecting:
            if self._database is None:
                self._database = await self._connect(_LOCK_TIMEOUT_SECONDS)
            if self._impatient is None:
                self._impatient = await self._connect(_SHORT_LOCK_TIMEOUT_SECONDS)
            return self._database, self._impatient

    async def _connect(self, lock_timeout_seconds: float) -> Database:
        return await Database.connect(
            self._url,
            max_connections=len(OperationKind),
            statement_timeout_seconds=self._statement_timeout_seconds,
            lock_timeout_seconds=lock_timeout_seconds,
            application_name="storage-writer",
            keys_only=True,
        )

    async def _submit(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        self._watch.start()
        if self._watch.is_away:
            return [StorageFailure.UNAVAILABLE] * len(items)
        try:
            return await self._batchers[kind].submit(items)
        except QueueFull:
            return [StorageFailure.OVERLOADED] * len(items)

    async def _flush(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        results: list[Result] = [StorageFailure.UNAVAILABLE] * len(items)
        WRITE_BATCHES.observe(len(items), kind.value)
        together, apart = self._held.apart(items)
        for places, write in ((together, self._write), (apart, self._write_apart)):
            for round_ in rounds(kind, [items[place] for place in places]):
                if self._watch.is_away:
                    return results
                own = [places[number] for number in round_]
                answers = await write(kind, [items[place] for place in own])
                for place, answer in zip(own, answers, strict=True):
                    results[place] = answer
        return results

    async def _write(
        self, kind: OperationKind, items: list[Any], *, is_apart: bool = False
    ) -> list[Result]:
        """Write items that fit into one transaction; find the bad one by halves if there is one.

        ``is_apart``: wait for no lock. Raises ``DatabaseLocked``, then only.
        """
        try:
            return await self._write_once(kind, items, is_apart=is_apart)
        except DatabaseLocked:
            if is_apart:
                raise
            return await self._write_apart(kind, items)
        except DatabaseUnavailable as error:
            logger.warning("write_failed", kind=kind.value, items=len(items), error=str(error))
            WRITE_FAILURES.add(kind.value, len(items))
            return [StorageFailure.UNAVAILABLE] * len(items)
        except DatabaseRejected as error:
            if len(items) == 1:
                logger.warning("item_refused", kind=kind.value, error=str(error))
                return [_refusal(kind, items[0], str(error))]
        middle = len(items) // 2
        first = await self._write(kind, items[:middle], is_apart=is_apart)
        return first + await self._write(kind, items[middle:], is_apart=is_apart)

    async def _write_apart(self, kind: OperationKind, items: list[Any]) -> list[Result]:
        """Write items among which are some whose rows somebody else has locked."""
        return await self._held.write(items, partial(self._write, kind, is_apart=True))

    async def _write_once(
        self, kind: OperationKind, items: list[Any], *, is_apart: bool
    ) -> list[Result]:
        patient, impatient = await self._connected()
        database = impatient if is_apart else patient
        started_at = time.monotonic()
        try:
            for _ in range(_CONFLICT_ATTEMPTS - 1):
                try:
                    return await _WRITES[kind](database, items)
                except DatabaseConflict as error:
                    logger.info(
                        "write_repeated", kind=kind.value, items=len(items), error=str(error)
                    )
            return await _WRITES[kind](database, items)
        finally:
            WRITE_LATENCY.observe(time.monotonic() - started_at, kind.value)


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
