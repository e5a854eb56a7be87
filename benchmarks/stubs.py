"""An AI service and a platform that only wait: ``python -m benchmarks.stubs PORT KIND DELAY_MS``.

One process each, as cheap as Python allows, the same for everything that is compared. ``GET
/requests`` tells how many there were; ``POST /delay?ms=50`` changes how long the next ones take.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import httptools
import orjson
import uvloop

__all__ = ["BODIES"]

BODIES: Final = {
    "ai": orjson.dumps(
        {
            "response_text": "I will help you to book an appointment. Which day would suit you "
            "best, and should it be in the morning?",
            "intent": "book_appointment",
            "confidence": 0.95,
            "entities": {"service_type": "checkup"},
            "model_used": "stub",
        }
    ),
    "platform": b'{"success":true,"actions_executed":1}',
}


class Stub:
    """What all connections of one process share."""

    def __init__(self, body: bytes, delay_ms: float) -> None:
        self.answer = _answer(body)
        self.delay_seconds = delay_ms / 1000
        self.requests = 0


class Connection(asyncio.Protocol):
    """One connection, one request at a time, kept open."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note what is asked for (the parser calls it)."""
        self._url = url

    def on_message_complete(self) -> None:
        """Answer after the delay (the parser calls it)."""
        if self._url.startswith(b"/delay"):
            query = parse_qs(urlsplit(self._url.decode()).query)
            self._stub.delay_seconds = float(query["ms"][0]) / 1000
            self._send(_answer(b"{}"))
        elif self._url == b"/requests":
            self._send(_answer(str(self._stub.requests).encode()))
        else:
            self._stub.requests += 1
            if self._stub.delay_seconds:
                self._loop.call_later(self._stub.delay_seconds, self._send, self._stub.answer)
            else:
                self._send(self._stub.answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def serve(port: int, kind: str, delay_ms: float) -> None:
    """Serve until the process is ended."""
    stub = Stub(BODIES[kind], delay_ms)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
