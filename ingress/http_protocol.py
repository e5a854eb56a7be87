"""Uvicorn's HTTP protocol, with an answer's head and body in one write to the socket."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol"]

MAX_GATHERED_BYTES = 65_536
"""More is written at once, so that the transport can say when it is too much."""


class HttpProtocol(HttpToolsProtocol):
    """Each write is a call of the system and, on the other side, something to wake up for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``."""
        self._gathering = _Gathering(transport)
        super().connection_made(cast("asyncio.Transport", self._gathering))

    def eof_received(self) -> None:
        """See ``asyncio.Protocol``: the transport closes itself after it, with what it has."""
        self._gathering.flush()
        super().eof_received()


class _Gathering:
    """A transport that writes once in a turn of the loop; all else is left to the real one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._chunks:
            self._loop.call_soon(self.flush)
        self._chunks.append(data)
        self._bytes += len(data)
        if self._bytes > MAX_GATHERED_BYTES:
            self.flush()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        if self._chunks and not self._transport.is_closing():
            self._transport.write(b"".join(self._chunks))
        self._chunks.clear()
        self._bytes = 0
