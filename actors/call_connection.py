"""The side of a caller: a connection over which an actor is called."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, cast

import msgspec

from storage.calls import (
    MAX_CALLS,
    WELCOME,
    Answer,
    Call,
    CallAddress,
    FrameReader,
    FrameTooLong,
    frame,
    watch_peer,
)

__all__ = ["CallConnection", "CallFailed"]

CONNECT_SECONDS = 2.0

_decoder = msgspec.msgpack.Decoder(Answer)
_encoder = msgspec.msgpack.Encoder()


class CallFailed(Exception):
    """The method raised an exception; the text is its name."""


class CallConnection(asyncio.Protocol):
    """Calls methods of one actor, many at a time; answers come in any order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._numbers = count(WELCOME + 1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    async def open(cls, address: CallAddress) -> CallConnection:
        """Connect. Raises ``OSError`` (``TimeoutError`` is one).

        It is open once the actor has said so: something else may listen there by now.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(cls, address.host, address.port)
            try:
                await connection.greet(address.token)
            except BaseException:
                connection.close()
                raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._transport is not None and not self._transport.is_closing()

    async def greet(self, token: bytes) -> None:
        """Say who is there, and wait until that is believed. Raises ``ConnectionError``."""
        await self._send(WELCOME, frame(token))

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method. Raises ``CallFailed``, or ``ConnectionError``: it may be done or not."""
        if len(self._waiting) >= MAX_CALLS:
            raise ConnectionError(f"{MAX_CALLS} calls are under way")
        number = next(self._numbers)
        encoded = frame(_encoder.encode(Call(number, method, list(arguments))))
        return await self._send(number, encoded)

    async def _send(self, number: int, encoded: bytes) -> Any:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        try:
            self._transport.write(encoded)
            return await waiter
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """End the connection, and with it the calls under way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)
        watch_peer(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = None
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(ConnectionResetError("the connection broke"))

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        try:
            for body in self._reader.feed(data):
                self._settle(_decoder.decode(body))
        except (FrameTooLong, msgspec.DecodeError):
            self.close()

    def _settle(self, answer: Answer) -> None:
        waiter = self._waiting.get(answer.number)
        if waiter is None or waiter.done():
            return  # who asked does not wait any more
        if answer.error is None:
            waiter.set_result(answer.result)
        else:
            waiter.set_exception(CallFailed(answer.error))
