"""Calls over a connection of their own: between real sockets of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest

from actors.call_connection import CallConnection, CallFailed
from actors.direct_calls import DirectCalls
from actors.ports import PeerUnavailable
from storage import call_server, calls
from storage.call_server import CallServer
from storage.calls import LENGTH_BYTES, Answer, Call, CallAddress, FrameReader, FrameTooLong, frame

HERE = "127.0.0.1"
WAIT_SECONDS = 10.0
WELCOME = frame(msgspec.msgpack.encode(Answer(calls.WELCOME)))


async def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 (neither side tells)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what}") from None


class Actor:
    """What is called."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.waiting = 0
        self.cancelled = 0

    async def echo(self, data: bytes) -> bytes:
        return data

    async def wait(self) -> str:
        self.waiting += 1
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "waited"

    async def fail(self) -> None:
        raise KeyError("what a customer wrote")

    async def strange(self) -> object:
        return object()

    async def _hidden(self) -> str:
        return "hidden"

    def plain(self) -> str:
        return "plain"


@pytest.fixture
def actor() -> Actor:
    return Actor()


@pytest.fixture
async def server(actor: Actor) -> AsyncIterator[CallServer]:
    server = CallServer(actor)
    yield server
    await server.close()


@pytest.fixture
async def connection(server: CallServer) -> AsyncIterator[CallConnection]:
    connection = await CallConnection.open(await server.address(HERE))
    yield connection
    connection.close()


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
async def test_a_call_is_answered(connection: CallConnection, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await connection.call("echo", data) == data


async def test_answers_come_in_any_order(connection: CallConnection, actor: Actor) -> None:
    slow = asyncio.create_task(connection.call("wait"))
    assert await asyncio.gather(*(connection.call("echo", b"%d" % n) for n in range(100))) == [
        b"%d" % n for n in range(100)
    ]
    assert not slow.done()
    actor.may_go_on.set()
    assert await slow == "waited"


async def test_an_exception_is_told_by_its_name_only(connection: CallConnection) -> None:
    with pytest.raises(CallFailed, match=r"^KeyError$"):
        await connection.call("fail")
    assert await connection.call("echo", b"on") == b"on"


@pytest.mark.parametrize("method", ["_hidden", "plain", "no_such", "__init__", "may_go_on"])
async def test_only_public_coroutine_methods_are_called(
    connection: CallConnection, method: str
) -> None:
    with pytest.raises(CallFailed, match="AttributeError"):
        await connection.call(method)


async def test_a_result_that_cannot_be_sent_is_a_failure(connection: CallConnection) -> None:
    with pytest.raises(CallFailed, match="TypeError"):
        await connection.call("strange")


async def test_who_gives_up_waiting_disturbs_nobody(
    connection: CallConnection, actor: Actor
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connection.call("wait")
    actor.may_go_on.set()
    assert await connection.call("echo", b"on") == b"on"


async def test_who_does_not_know_the_token_is_cut_off(server: CallServer, actor: Actor) -> None:
    address = await server.address(HERE)
    wrong = msgspec.structs.replace(address, token=b"x" * len(address.token))
    with pytest.raises(ConnectionError):
        await CallConnection.open(wrong)
    assert actor.waiting == 0


async def test_what_does_not_answer_the_token_is_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.call_connection.CONNECT_SECONDS", 0.05)
    is_gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        is_gone.set()

    async with await asyncio.start_server(say_nothing, HERE, 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await CallConnection.open(CallAddress(HERE, port, b"token"))
        async with asyncio.timeout(WAIT_SECONDS):
            await is_gone.wait()


async def test_a_way_that_always_breaks_leaves_the_calls_to_ray(
    server: CallServer, actor: Actor
) -> None:
    address = await server.address(HERE)
    wrong = msgspec.structs.replace(address, token=b"x" * len(address.token))
    tries: list[CallAddress] = []

    async def find_address() -> CallAddress:
        tries.append(wrong)
        return wrong

    direct = DirectCalls("host-0", find_address)

    def is_tried_thrice() -> bool:
        assert direct.connection() is None
        return len(tries) == 3

    await wait_for(is_tried_thrice, what="three tries")
    direct.close()


async def test_what_nobody_reads_is_not_heaped_up(
    server: CallServer, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_server, "MAX_CALLS", 20)
    address = await server.address(HERE)
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=1_000)
    writer.write(frame(address.token))
    body = b"x" * 1_000_000

    async def ask() -> None:
        for number in range(1, 200):
            writer.write(frame(msgspec.msgpack.encode(Call(number, "echo", [body]))))
            await writer.drain()

    with pytest.raises(ConnectionError):
        await ask()
    writer.close()
    assert not reader.at_eof()


async def test_who_says_nothing_is_cut_off(
    server: CallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_server, "GREETING_SECONDS", 0.05)
    address = await server.address(HERE)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


@pytest.mark.parametrize("bad", [b"\xff" * 64, frame(b"no call at all"), frame(b"")])
async def test_what_is_no_call_ends_the_connection(server: CallServer, bad: bytes) -> None:
    address = await server.address(HERE)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(frame(address.token) + bad)
    async with asyncio.timeout(WAIT_SECONDS):
        with suppress(ConnectionError):
            assert await reader.read() in (b"", WELCOME)
    writer.close()


async def test_before_the_token_a_frame_is_short(server: CallServer) -> None:
    address = await server.address(HERE)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write((1_000).to_bytes(LENGTH_BYTES, "big"))
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


async def test_too_many_calls_at_a_time_are_refused(
    connection: CallConnection, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_connection.MAX_CALLS", 3)
    under_way = [asyncio.create_task(connection.call("wait")) for _ in range(3)]
    await wait_for(lambda: actor.waiting == 3, what="three calls are under way")
    with pytest.raises(ConnectionError, match="3 calls"):
        await connection.call("echo", b"")
    actor.may_go_on.set()
    await asyncio.gather(*under_way)
    assert await connection.call("echo", b"on") == b"on"


async def test_a_broken_connection_ends_its_calls_on_both_sides(
    connection: CallConnection, server: CallServer, actor: Actor
) -> None:
    call = asyncio.create_task(connection.call("wait"))
    await wait_for(lambda: actor.waiting == 1, what="the call is under way")
    await server.close()
    with pytest.raises(ConnectionError):
        await call
    await wait_for(lambda: actor.cancelled == 1, what="the call is cancelled")
    with pytest.raises(ConnectionError, match="closed"):
        await connection.call("echo", b"")


def test_frames_are_found_however_they_come() -> None:
    bodies = [b"", b"a", b"b" * 300, b"c" * 70_000]
    stream = b"".join(frame(body) for body in bodies)
    for step in (1, 3, 1_000, len(stream)):
        reader = FrameReader()
        pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
        assert [body for piece in pieces for body in reader.feed(piece)] == bodies


def test_a_frame_that_is_too_long_is_found_out_by_its_first_bytes() -> None:
    reader = FrameReader()
    reader.max_bytes = 10
    assert list(reader.feed(frame(b"x" * 10))) == [b"x" * 10]
    with pytest.raises(FrameTooLong):
        list(reader.feed((11).to_bytes(LENGTH_BYTES, "big")))


def test_an_address_does_not_show_its_token() -> None:
    assert "secret" not in repr(CallAddress("127.0.0.1", 1, b"secret"))


async def test_the_direct_way_is_opened_beside_other_calls(server: CallServer) -> None:
    direct = DirectCalls("host-0", lambda: server.address(HERE))
    assert direct.connection() is None
    await wait_for(lambda: direct.connection() is not None, what="it is open")
    connection = direct.connection()
    assert connection is not None
    assert await connection.call("echo", b"x") == b"x"
    direct.close()
    assert direct.connection() is None


async def test_a_broken_way_is_opened_again(actor: Actor) -> None:
    servers = [CallServer(actor)]
    direct = DirectCalls("host-0", lambda: servers[-1].address(HERE))
    await wait_for(lambda: direct.connection() is not None, what="it is open")
    await servers[0].close()
    servers.append(CallServer(actor))
    await wait_for(lambda: direct.connection() is None, what="it is known to be broken")
    await wait_for(lambda: direct.connection() is not None, what="it is open again")
    direct.close()
    await servers[1].close()


async def test_what_does_not_open_is_tried_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("actors.direct_calls.time.monotonic", lambda: now)
    tries: list[float] = []

    async def find_address() -> CallAddress:
        tries.append(now - 1_000.0)
        raise PeerUnavailable("it restarts")

    direct = DirectCalls("host-0", find_address)
    for _ in range(400):
        assert direct.connection() is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now += 0.25
    assert tries[:5] == [0.0, 0.25, 0.75, 1.75, 3.75]
    assert all(after - before <= 30.25 for before, after in pairwise(tries))
    direct.close()
