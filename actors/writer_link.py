"""The way from a process to the writers: operations of one kind travel together."""

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

__all__ = ["WriterLink"]

MAX_BATCH = 500
MAX_QUEUED = 20_000
CALL_TIMEOUT_SECONDS = 30.0


class WriterLink:
    """Sends operations to the writer of their conversation and coalesces them on the way.

    One call a kind and writer is under way at a time; the next batch fills meanwhile.
    """

    def __init__(self, directory: Directory, table: Callable[[], RoutingTable]) -> None:
        self._directory = directory
        self._table = table
        self._batchers: dict[tuple[str, type[Operation]], Batcher[Operation, Result]] = {}

    async def call(self, operation: Operation) -> Result:
        """Have one operation done. Never raises for trouble: see ``StorageFailure``."""
        writer = self._table().writer_of(operation.conversation_id)
        if writer is None:
            return StorageFailure.UNAVAILABLE
        try:
            (result,) = await self._batcher(writer, type(operation)).submit([operation])
        except QueueFull:
            return StorageFailure.OVERLOADED
        return result

    def _batcher(self, writer: str, kind: type[Operation]) -> Batcher[Operation, Result]:
        batcher = self._batchers.get((writer, kind))
        if batcher is None:
            batcher = Batcher(
                partial(self._flush, writer),
                max_batch=MAX_BATCH,
                max_queued=MAX_QUEUED,
                weigh=weight_of,
                max_weight=MAX_BATCH_CHARACTERS,
                max_queued_weight=MAX_QUEUED_CHARACTERS,
            )
            self._batchers[writer, kind] = batcher
        return batcher

    async def _flush(self, writer: str, operations: list[Operation]) -> list[Result]:
        port = self._directory.writer(writer)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                answer = await port.execute(encode_batch(operations))
        except (PeerUnavailable, TimeoutError):
            return cast("list[Result]", [StorageFailure.UNAVAILABLE] * len(operations))
        return decode_results(answer)
