"""The side of an actor that takes calls over connections."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import secrets
from typing import Any, cast

import msgspec
import structlog

from storage.calls import (
    MAX_CALLS,
    MAX_FRAME_BYTES,
    MAX_TOKEN_BYTES,
    WELCOME,
    Answer,
    Call,
    CallAddress,
    FrameReader,
    FrameTooLong,
    frame,
    watch_peer,
)

__all__ = ["CallServer"]

log = structlog.get_logger()

TOKEN_BYTES = 32
MAX_CONNECTIONS = 1_000
GREETING_SECONDS = 5.0

_decoder = msgspec.msgpack.Decoder(Call)
_encoder = msgspec.msgpack.Encoder()


class CallServer:
    """Lets those who know its token call the public coroutine methods of ``target``.

    The first frame of a connection is the token, and is answered. When a connection ends, the calls
    that came over it are cancelled: nobody would hear what becomes of them. A call counts as under
    way until its caller has read the answer, or nearly.
    """

    def __init__(self, target: object) -> None:
        self._target = target
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._server: asyncio.Server | None = None
        self._opening = asyncio.Lock()
        self._connections: set[_Connection] = set()

    async def address(self, host: str) -> CallAddress:
        """Listen at ``host`` unless it does already; return where. Raises ``OSError``."""
        async with self._opening:
            if self._server is None:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(self._connection, host, 0)
        name, port = self._server.sockets[0].getsockname()[:2]
        return CallAddress(name, port, self._token)

    async def close(self) -> None:
        """Stop listening and cut off who is connected."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cut_off("closing")

    def _connection(self) -> _Connection:
        return _Connection(self._target, self._token, self._connections)


class _Connection(asyncio.Protocol):
    def __init__(self, target: object, token: bytes, all_of_them: set[_Connection]) -> None:
        self._target = target
        self._token = token
        self._all = all_of_them
        self._reader = FrameReader()
        self._reader.max_bytes = MAX_TOKEN_BYTES
        self._is_known = False
        self._calls: set[asyncio.Task[None]] = set()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._transport: asyncio.Transport | None = None
        self._greeting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        watch_peer(self._transport)
        self._all.add(self)
        loop = asyncio.get_running_loop()
        self._greeting = loop.call_later(GREETING_SECONDS, self.cut_off, "no token")
        if len(self._all) > MAX_CONNECTIONS:
            self.cut_off("too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        self._transport = None
        if self._greeting is not None:
            self._greeting.cancel()
        for call in self._calls:
            call.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                if self._transport is None or self._transport.is_closing():
                    return
                self._take(body)
        except (FrameTooLong, msgspec.DecodeError) as error:
            self.cut_off(str(error))

    def cut_off(self, reason: str) -> None:
        """End the connection."""
        if self._transport is not None and not self._transport.is_closing():
            log.warning("caller_cut_off", reason=reason)
            self._transport.abort()

    def _take(self, body: bytes) -> None:
        if self._is_known:
            self._begin(_decoder.decode(body))
        elif hmac.compare_digest(body, self._token):
            self._is_known = True
            self._reader.max_bytes = MAX_FRAME_BYTES
            if self._greeting is not None:
                self._greeting.cancel()
            self._write(frame(_encoder.encode(Answer(WELCOME))))
        else:
            self.cut_off("wrong token")

    def _begin(self, call: Call) -> None:
        if len(self._calls) >= MAX_CALLS:
            self.cut_off("too many calls")
            return
        task = asyncio.create_task(self._answer(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(self, call: Call) -> None:
        try:
            result = await _method(self._target, call.method)(*call.arguments)
            encoded = frame(_encoder.encode(Answer(call.number, result)))
        except Exception as error:  # whatever it is: the caller hears that it failed
            log.exception("call_failed", method=call.method)
            answer = Answer(call.number, error=type(error).__name__)
            encoded = frame(_encoder.encode(answer))
        await self._may_write.wait()
        self._write(encoded)

    def _write(self, encoded: bytes) -> None:
        if self._transport is not None:
            self._transport.write(encoded)


def _method(target: object, name: str) -> Any:
    method = None if name.startswith("_") else getattr(target, name, None)
    if not inspect.iscoroutinefunction(method):
        raise AttributeError(f"{type(target).__name__} has no method {name!r} for others")
    return method
