"""What is written in one turn of the loop goes out together, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ingress.http_protocol import HttpProtocol
from ingress.server import IngressServer, bind_listener

BODY = b"x" * 300_000
REQUEST = b"GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer ``/long`` in many parts, anything else in one."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    parts = [BODY] * 20 if scope["path"] == "/long" else [b"all of it"]
    length = str(sum(map(len, parts))).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    server = IngressServer(application, before_closing=lambda: None)
    with bind_listener("127.0.0.1", 0) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await server.ready.wait()
        yield listener.getsockname()
        server.should_exit = True
        await task


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how long each write to a socket of the server is."""
    noted: list[int] = []
    connection_made = HttpProtocol.connection_made

    class Counted:
        def __init__(self, transport: asyncio.Transport) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

        def write(self, data: bytes) -> None:
            noted.append(len(data))
            self._transport.write(data)

    def counted(self: HttpProtocol, transport: asyncio.Transport) -> None:
        connection_made(self, Counted(transport))  # type: ignore[arg-type]

    monkeypatch.setattr(HttpProtocol, "connection_made", counted)
    return noted


async def answer_of(address: tuple[str, int], path: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(REQUEST % path)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_head_and_body_are_one_write(address: tuple[str, int], sizes: list[int]) -> None:
    answer = await answer_of(address, b"/short")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"all of it")
    assert sizes == [len(answer)]


async def test_a_long_answer_comes_whole_and_is_not_gathered(
    address: tuple[str, int], sizes: list[int]
) -> None:
    head, _, body = (await answer_of(address, b"/long")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == BODY * 20
    assert max(sizes) < 2 * len(BODY)


async def test_who_says_no_more_gets_an_answer(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        client.shutdown(socket.SHUT_WR)  # the server finds both at once: it has not run meanwhile
        answer = await asyncio.to_thread(_read_all, client)
    assert answer.endswith(b"all of it")


def _read_all(client: socket.socket) -> bytes:
    with client.makefile("rb") as received:
        return received.read()


async def test_who_goes_away_in_the_middle_harms_nobody(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as gone:
        gone.sendall(REQUEST % b"/long")
        assert await asyncio.to_thread(gone.recv, 100)
    assert (await answer_of(address, b"/short")).endswith(b"all of it")
