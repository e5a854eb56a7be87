"""TLS in front of a server that has none: the servers in the wheels are built without it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

__all__ = ["Dial", "TlsFront", "tls_front"]

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

POSTGRES_TLS_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
CHUNK_BYTES = 65_536


class TlsFront:
    """Passes on what comes in over TLS, and counts it.

    ``is_postgres``: TLS begins as PostgreSQL's does, once the client has asked for it. Without a
    ``context`` the answer to that is no, and the client may go on in the clear.
    """

    def __init__(self, dial: Dial, context: ssl.SSLContext | None, *, is_postgres: bool) -> None:
        self._dial = dial
        self._context = context
        self._is_postgres = is_postgres
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.encrypted = 0
        self.clear = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            first = await self._greet(reader, writer)
            behind_reader, behind_writer = await self._dial()
            behind_writer.write(first)
            await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            return  # the client did not like what it was shown
        finally:
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Settle whether there is TLS; return what is to be passed on first."""
        if not self._is_postgres:
            self.encrypted += 1
            return b""
        first = await reader.readexactly(len(POSTGRES_TLS_REQUEST))
        if first == POSTGRES_TLS_REQUEST and self._context is not None:
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(self._context)
            self.encrypted += 1
            return b""
        if first == POSTGRES_TLS_REQUEST:
            writer.write(b"N")
            first = b""
        self.clear += 1
        return first

    async def close(self) -> None:
        """Cut all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass  # the other side is told below
    finally:
        writer.close()


@asynccontextmanager
async def tls_front(
    dial: Dial, context: ssl.SSLContext | None, *, is_postgres: bool = False
) -> AsyncIterator[TlsFront]:
    """Serve on a free port of 127.0.0.1."""
    front = TlsFront(dial, context, is_postgres=is_postgres)
    from_the_start = None if is_postgres else context
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0, ssl=from_the_start)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        await front.close()
