"""One connection of a client through the proxy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.stack.proxy.rules import Direction, Trigger, Wrong

__all__ = ["Link", "Stream"]

CHUNK_BYTES = 65_536
MOST_HELD_CHUNKS = 256

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Held = asyncio.Queue[tuple[bytes, float]]


class Link:
    """Forwards both ways between a client and the target, chunk by chunk.

    ``wait_turn`` returns when what was read at a moment may go on; ``look`` says which trigger
    these bytes set off, if any.
    """

    def __init__(
        self,
        client_port: int,
        client: Stream,
        target: Stream,
        wait_turn: Callable[[Link, Direction, float], Awaitable[None]],
        look: Callable[[Direction, bytes], Trigger | None],
    ) -> None:
        self.client_port = client_port
        self._client = client
        self._target = target
        self._wait_turn = wait_turn
        self._look = look
        self._tails = dict.fromkeys(Direction, b"")
        self._waiting_for_answer: Trigger | None = None
        for _, writer in (client, target):
            writer.transport.set_write_buffer_limits(high=0)  # drained means sent

    async def run(self) -> None:
        """Forward until both sides have ended, or it is cut."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._forward(Direction.TO_SERVER, self._client[0], self._target[1])
                )
                group.create_task(
                    self._forward(Direction.TO_CLIENT, self._target[0], self._client[1])
                )
        except* OSError:
            pass  # one side has cut it, and so is the other
        finally:
            self.abort()

    def abort(self) -> None:
        """Cut both sides."""
        for _, writer in (self._client, self._target):
            writer.transport.abort()

    async def _forward(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        held: _Held = asyncio.Queue(MOST_HELD_CHUNKS)
        reading = asyncio.create_task(_read_all(reader, held))
        try:
            while True:
                chunk, read_at = await held.get()
                await self._wait_turn(self, direction, read_at)
                if not chunk:
                    writer.write_eof()
                    return
                await self._pass(direction, chunk, writer)
        finally:
            reading.cancel()

    async def _pass(self, direction: Direction, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if direction is Direction.TO_CLIENT and self._waiting_for_answer is not None:
            self._cut(self._waiting_for_answer)
        trigger = self._look(direction, self._tails[direction] + chunk)
        # Bytes may be split anywhere; those of one trigger are not looked at twice.
        self._tails[direction] = b"" if trigger else chunk[-CHUNK_BYTES:]
        if trigger is not None and trigger.wrong is Wrong.CUT_BEFORE:
            self._cut(trigger)
        writer.write(chunk)
        await writer.drain()
        if trigger is not None and trigger.wrong is Wrong.CUT_AFTER:
            self._cut(trigger)
        if trigger is not None and trigger.wrong is Wrong.LOSE_ANSWER:
            self._waiting_for_answer = trigger

    def _cut(self, trigger: Trigger) -> None:
        self.abort()
        trigger.happened.set()
        raise ConnectionAbortedError(trigger.wrong.value)


async def _read_all(reader: asyncio.StreamReader, held: _Held) -> None:
    """Read on whatever holds the bytes up, so that a network's fault is not felt by the sender."""
    while True:
        try:
            chunk = await reader.read(CHUNK_BYTES)
        except OSError:
            chunk = b""
        await held.put((chunk, time.monotonic()))
        if not chunk:
            return
