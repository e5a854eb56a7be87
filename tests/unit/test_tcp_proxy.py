"""The proxy of the fault tests does what they ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from tests.stack.proxy import Direction, Proxy, Wrong

LONG_SECONDS = 10.0
SOON_SECONDS = 0.2


@dataclass
class Echo:
    """Answers every line with itself in capitals, and keeps what it got."""

    port: int = 0
    lines: list[bytes] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines.append(line)
                self.changed.set()
                writer.write(line.upper())
        except OSError:
            pass  # cut, as asked for
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    service = Echo()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    started = Proxy(echo.port).start()
    yield started
    started.stop()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: bytes) -> bytes:
        """Return the answer; nothing when the connection was cut instead."""
        self.writer.write(line + b"\n")
        try:
            async with asyncio.timeout(LONG_SECONDS):
                return (await self.reader.readline()).strip()
        except OSError:
            return b""


Connect = Callable[[Proxy], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def connect_to(proxy: Proxy) -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield connect_to
    for client in clients:
        client.writer.transport.abort()


async def test_everything_passes_without_a_rule(proxy: Proxy, connect: Connect) -> None:
    client = await connect(proxy)
    assert await client.ask(b"hello") == b"HELLO"
    assert await client.ask(b"x" * 50_000) == b"X" * 50_000
    assert proxy.connections() == 1
    assert proxy.connections(psutil.Process()) == 1


async def test_what_a_black_hole_swallowed_comes_out_when_it_ends(
    proxy: Proxy, echo: Echo, connect: Connect
) -> None:
    client = await connect(proxy)
    with proxy.black_hole():
        asking = asyncio.create_task(client.ask(b"hello"))
        leaving = await connect(proxy)
        leaving.writer.write(b"and goodbye\n")
        leaving.writer.close()
        done, _ = await asyncio.wait([asking], timeout=SOON_SECONDS)
        assert not done
        assert not echo.lines
    assert await asking == b"HELLO"
    async with asyncio.timeout(LONG_SECONDS):
        while b"and goodbye\n" not in echo.lines:
            echo.changed.clear()
            await echo.changed.wait()


async def test_a_black_hole_may_be_one_way(proxy: Proxy, echo: Echo, connect: Connect) -> None:
    client = await connect(proxy)
    with proxy.black_hole(direction=Direction.TO_CLIENT):
        asking = asyncio.create_task(client.ask(b"hello"))
        await echo.changed.wait()
        done, _ = await asyncio.wait([asking], timeout=SOON_SECONDS)
        assert not done
    assert await asking == b"HELLO"


async def test_rules_for_another_process_do_not_touch_ours(proxy: Proxy, connect: Connect) -> None:
    parent = psutil.Process().parent()
    client = await connect(proxy)
    with proxy.black_hole(parent), proxy.refuse(parent):
        assert await client.ask(b"hello") == b"HELLO"
        assert await (await connect(proxy)).ask(b"new") == b"NEW"
    assert proxy.cut(parent) == 0


async def test_rules_for_our_process_hold_for_new_connections_too(
    proxy: Proxy, connect: Connect
) -> None:
    with proxy.black_hole(psutil.Process()):
        client = await connect(proxy)
        asking = asyncio.create_task(client.ask(b"hello"))
        done, _ = await asyncio.wait([asking], timeout=SOON_SECONDS)
        assert not done
    assert await asking == b"HELLO"


async def test_latency_delays_each_way_and_keeps_the_order(proxy: Proxy, connect: Connect) -> None:
    client = await connect(proxy)
    loop = asyncio.get_running_loop()
    with proxy.latency(SOON_SECONDS):
        started_at = loop.time()
        first = asyncio.create_task(client.ask(b"first"))
        assert await first == b"FIRST"
        assert loop.time() - started_at >= 2 * SOON_SECONDS
    assert await client.ask(b"second") == b"SECOND"


async def test_refused_connections_are_cut_until_the_rule_ends(
    proxy: Proxy, connect: Connect
) -> None:
    client = await connect(proxy)
    assert await client.ask(b"hello") == b"HELLO"
    with proxy.refuse():
        assert await client.ask(b"still there?") == b""
        assert await (await connect(proxy)).ask(b"new") == b""
    assert await (await connect(proxy)).ask(b"new") == b"NEW"


async def test_a_target_that_is_down_is_a_connection_cut(connect: Connect) -> None:
    nobody = Proxy(1).start()
    assert await (await connect(nobody)).ask(b"hello") == b""
    nobody.stop()


@pytest.mark.parametrize(("wrong", "arrives"), [(it, it is not Wrong.CUT_BEFORE) for it in Wrong])
async def test_a_connection_is_cut_when_its_bytes_pass(
    proxy: Proxy, echo: Echo, wrong: Wrong, arrives: bool, connect: Connect
) -> None:
    client, other = await connect(proxy), await connect(proxy)
    trigger = proxy.when(b"commit", wrong)
    assert await other.ask(b"hello") == b"HELLO"
    assert await client.ask(b"please commit this") == b""
    await trigger.wait()
    if arrives:
        async with asyncio.timeout(LONG_SECONDS):
            while b"please commit this\n" not in echo.lines:
                echo.changed.clear()
                await echo.changed.wait()
    else:
        assert echo.lines == [b"hello\n"]
    assert await other.ask(b"commit again") == b"COMMIT AGAIN", "a trigger works once"


async def test_an_answer_may_set_it_off_too(proxy: Proxy, connect: Connect) -> None:
    client = await connect(proxy)
    trigger = proxy.when(b"HELLO", Wrong.CUT_BEFORE, Direction.TO_CLIENT)
    assert await client.ask(b"hello") == b""
    await trigger.wait()
