"""The way from a process to the writers: what is asked at the same time travels together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from actors.ports import Directory, PeerUnavailable
from actors.router import RoutingTable
from storage.batch import Batcher, QueueFull
from storage.codec import (
    MAX_BATCH_CHARACTERS,
    MAX_QUEUED_CHARACTERS,
    Operation,
    Result,
    StorageFailure,
    decode_results,
    encode_batch,
    weight_of,
)
from storage.pace import Busyness, Pace, never_busy
from storage.records import NewMessage
from storage.tasks import within

__all__ = ["WriterLink"]

MAX_BATCH = 500
MAX_QUEUED = 20_000
MAX_CALLS = 4
"""To one writer at a time: one that waits for locked rows holds the others up for seconds."""
CALL_TIMEOUT_SECONDS = 30.0


class WriterLink:
    """Sends operations to the writer of their conversation and coalesces them on the way.

    New messages travel in one call at a time, so that they are accepted in their order; all other
    operations of a conversation wait for each other anyhow, and have a few calls to a writer.
    """

    def __init__(
        self,
        directory: Directory,
        table: Callable[[], RoutingTable],
        busyness: Busyness = never_busy,
    ) -> None:
        self._directory = directory
        self._table = table
        self._busyness = busyness
        self._batchers: dict[tuple[str, bool], Batcher[Operation, Result]] = {}

    async def call(self, operation: Operation, timeout_seconds: float | None = None) -> Result:
        """Have one operation done. Never raises for trouble: see ``StorageFailure``.

        Raises ``TimeoutError`` when it takes longer; it may be done all the same.
        """
        writer = self._table().writer_of(operation.conversation_id)
        if writer is None:
            return StorageFailure.UNAVAILABLE
        batcher = self._batcher(writer, is_ordered=isinstance(operation, NewMessage))
        try:
            done = batcher.put([operation])
        except QueueFull:
            return StorageFailure.OVERLOADED
        (result,) = await within(done, timeout_seconds)
        return result

    def _batcher(self, writer: str, *, is_ordered: bool) -> Batcher[Operation, Result]:
        batcher = self._batchers.get((writer, is_ordered))
        if batcher is None:
            batcher = Batcher(
                partial(self._flush, writer),
                max_batch=MAX_BATCH,
                max_queued=MAX_QUEUED,
                max_under_way=1 if is_ordered else MAX_CALLS,
                pace=Pace(self._busyness),
                weigh=weight_of,
                max_weight=MAX_BATCH_CHARACTERS,
                max_queued_weight=MAX_QUEUED_CHARACTERS,
            )
            self._batchers[writer, is_ordered] = batcher
        return batcher

    async def _flush(self, writer: str, operations: list[Operation]) -> list[Result]:
        port = self._directory.writer(writer)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                answer = await port.execute(encode_batch(operations))
        except (PeerUnavailable, TimeoutError):
            return cast("list[Result]", [StorageFailure.UNAVAILABLE] * len(operations))
        return decode_results(answer)
