"""Requests at fixed times, whether earlier ones are answered or not: how long each takes.

Latency counts from the moment at which a request was due, so a stall is seen by all that came
during it. The generator is a process of its own (``python -m benchmarks.open_loop``, its orders
as JSON on standard input), which tells its own lag too.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import httptools
import msgspec
import orjson
import uvloop

from benchmarks.closed_loop import VoidMeasurement
from benchmarks.endpoint import Endpoint
from benchmarks.programs import environment_with
from benchmarks.schedule import arrival_times
from benchmarks.statistics import percentile

__all__ = ["OpenLoop", "send_open_loop"]

PATIENCE_SECONDS = 30.0
TEXT = "I would like to book an appointment. " * 3


class Orders(msgspec.Struct):
    """What the generator is to do."""

    host: str
    port: int
    path: str
    token: str
    kind: str
    per_second: float
    seconds: float
    warm_up_seconds: float
    conversations: int


class OpenLoop(msgspec.Struct):
    """What a run of the open loop gave; latencies in milliseconds, from when requests were due."""

    requests: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    lag_p99_ms: float
    """How late the generator itself was."""
    counts: dict[str, int]


def send_open_loop(
    endpoint: Endpoint,
    per_second: float,
    seconds: float,
    *,
    warm_up_seconds: float,
    conversations: int,
) -> OpenLoop:
    """Send at a rate; what comes during the warm-up does not count.

    ``conversations`` take turns: enough of them, so that none has two messages in flight.
    Raises ``VoidMeasurement`` if an answer is none of ``endpoint.statuses``.
    """
    address, path = endpoint.address
    orders = Orders(
        *address, path, endpoint.token, endpoint.kind, per_second, seconds, warm_up_seconds,
        conversations,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.open_loop"],
        input=msgspec.json.encode(orders),
        capture_output=True,
        env=environment_with({}),
        cwd=Path(__file__).parents[1],
        check=False,
        timeout=seconds + warm_up_seconds + PATIENCE_SECONDS + 30,
    )
    if done.returncode:
        raise VoidMeasurement(f"the open loop failed: {done.stderr.decode()[-2000:]}")
    found = msgspec.json.decode(done.stdout, type=OpenLoop)
    wrong = {what: number for what, number in found.counts.items() if what not in endpoint.statuses}
    if wrong:
        raise VoidMeasurement(f"{endpoint.name} at {per_second:.0f} a second: {wrong}")
    return found


class Generator:
    """Sends all requests of a run and keeps what became of them."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._idle: deque[Connection] = deque()
        self._run = time.time_ns()
        self._head = (
            f"POST {orders.path} HTTP/1.1\r\nHost: {orders.host}:{orders.port}\r\n"
            f"Authorization: Bearer {orders.token}\r\nContent-Type: application/json\r\n"
        )
        self.latencies_ms: list[float] = []
        self.lags_ms: list[float] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> OpenLoop:
        """Send everything when it is due, and wait for the answers."""
        orders = self._orders
        loop = asyncio.get_running_loop()
        length = orders.warm_up_seconds + orders.seconds
        started_at = loop.time() + 0.1
        async with asyncio.timeout(length + PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            for number, offset in enumerate(arrival_times(orders.per_second, length)):
                due_at = started_at + offset
                if (pause := due_at - loop.time()) > 0:
                    await asyncio.sleep(pause)
                does_count = offset >= orders.warm_up_seconds
                group.create_task(self._send(number, due_at, does_count=does_count))
        return self._summary()

    async def _send(self, number: int, due_at: float, *, does_count: bool) -> None:
        loop = asyncio.get_running_loop()
        lag = loop.time() - due_at
        while self._idle and self._idle[-1].is_closed:
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._connect()
        status, body = await connection.ask(self._request(number))
        latency = loop.time() - due_at
        self._idle.append(connection)
        if does_count:
            self.latencies_ms.append(latency * 1000)
            self.lags_ms.append(lag * 1000)
            self.counts[_verdict(status, body)] += 1

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, self._orders.host, self._orders.port)
        return made

    def _request(self, number: int) -> bytes:
        conversation_id = f"o{self._run}-{number % self._orders.conversations}"
        if self._orders.kind == "chat":
            history = f"<USER>{TEXT}{number}</USER><br>"
            body = {"conversation_id": conversation_id, "history": history}
        else:
            body = {
                "conversation_id": conversation_id,
                "message_id": f"m{self._run}-{number}",
                "message_content": TEXT,
                "sender_id": "user",
                "sender_type": "user",
                "timestamp": time.time(),  # type: ignore[dict-item]
            }
        content = orjson.dumps(body)
        return f"{self._head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    def _summary(self) -> OpenLoop:
        latencies = sorted(self.latencies_ms)
        return OpenLoop(
            requests=len(latencies),
            p50_ms=percentile(latencies, 50),
            p99_ms=percentile(latencies, 99),
            p999_ms=percentile(latencies, 99.9),
            lag_p99_ms=percentile(sorted(self.lags_ms), 99),
            counts=dict(self.counts),
        )


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; the result is its status and its body."""
        self._answered = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Collect the body (the parser calls it)."""
        self._body += part

    def on_message_complete(self) -> None:
        """Hand the answer over (the parser calls it)."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request under way, if there is one."""
        self.is_closed = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionResetError("closed"))


def _verdict(status: int, body: bytes) -> str:
    if status != 200:
        return f"http_{status}"
    answer = orjson.loads(body)
    verdict: str = answer.get("result", answer)["status"]
    return verdict


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Generator(given).run())))
