"""A real HTTP server on a free port that answers as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Writer = asyncio.StreamWriter
Answerer = Callable[["Request", Writer], Awaitable[None]]


@dataclass
class Request:
    """One request as it came in."""

    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """What came in, and what goes out: one answerer a request, the last one from then on."""

    url: str
    answerers: list[Answerer]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    received: asyncio.Event = field(default_factory=asyncio.Event)
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                request = await _read_request(reader)
                self.requests.append(request)
                self.received.set()
                answerer = self.answerers.pop(0) if len(self.answerers) > 1 else self.answerers[0]
                await answerer(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.client_gone.set()
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    original = dict(line.split(": ", 1) for line in head[1:] if line)
    values = {name.lower(): value for name, value in original.items()}
    return Request(head[0].split(" ")[1], values, json.loads(body))


@asynccontextmanager
async def running(*answerers: Answerer) -> AsyncIterator[Stub]:
    """Serve on a free port of this machine."""
    stub = Stub("", list(answerers))
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()


def replying(status: int, body: object = None, **headers: str) -> Answerer:
    """Answer with JSON, or with ``bytes`` as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_request: Request, writer: Writer) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return answer


def sending(raw: bytes) -> Answerer:
    """Answer with these bytes and close the connection."""

    async def answer(_request: Request, writer: Writer) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return answer


async def silent(_request: Request, _writer: Writer) -> None:
    """Say nothing and keep the connection open."""


async def trickling(_request: Request, writer: Writer) -> None:
    """Answer without ever coming to an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flooding(_request: Request, writer: Writer) -> None:
    """Answer with more than anybody wants, for as long as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while not writer.is_closing():
        writer.write(chunk)
        await writer.drain()


TRUNCATED = sending(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"response_te')
NOT_HTTP = sending(b"220 mail.example.com ESMTP\r\n")
CLOSED = sending(b"")
