"""The proxy: listens, connects, and holds the rules.

Every fault is for all connections, or for those of one process. What a black hole swallows comes
out when it ends, as after a partition: also what somebody sent who has given up since then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psutil

from tests.servers import PostgresServer, RedisServer
from tests.stack.proxy.link import Link, Stream
from tests.stack.proxy.rules import Direction, Rule, Trigger, Wrong

__all__ = ["Proxy", "proxy_to_postgres", "proxy_to_redis"]

CALL_SECONDS = 30.0

Value = TypeVar("Value")


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to ``target``, in a thread of its own.

    ``target`` is a port of 127.0.0.1 or the path of a Unix socket. While nobody listens there,
    connections are cut as soon as they are made.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        self.port = 0
        self.url = ""
        """Where clients connect; set by whoever knows the protocol."""
        self._rules: list[Rule] = []
        self._triggers: list[Trigger] = []
        self._links: set[Link] = set()
        self._changed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Cut everything and end."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def black_hole(
        self, process: psutil.Process | None = None, direction: Direction | None = None
    ) -> Rule:
        """Take connections and bytes, and forward nothing until the rule ends."""
        return self._add(Rule(self._remove, process, direction, is_black_hole=True))

    def latency(
        self,
        seconds: float,
        process: psutil.Process | None = None,
        direction: Direction | None = None,
    ) -> Rule:
        """Forward everything so much later, in each direction, until the rule ends."""
        return self._add(Rule(self._remove, process, direction, delay_seconds=seconds))

    def refuse(self, process: psutil.Process | None = None) -> Rule:
        """Cut what is open, and every new connection at once, until the rule ends."""
        rule = self._add(Rule(self._remove, process, None, is_refusing=True))
        self.cut(process)
        return rule

    def cut(self, process: psutil.Process | None = None) -> int:
        """Cut what is open now; return how many connections that were."""

        def abort() -> int:
            chosen = self._links_of(process)
            for link in chosen:
                link.abort()
            return len(chosen)

        return self._do(abort)

    def when(
        self, pattern: bytes, wrong: Wrong, direction: Direction = Direction.TO_SERVER
    ) -> Trigger:
        """Do ``wrong`` to the first connection on which these bytes pass, once."""
        trigger = Trigger(pattern, wrong, direction)
        self._do(lambda: self._triggers.append(trigger))
        return trigger

    def connections(self, process: psutil.Process | None = None) -> int:
        """Count the connections that are open, of all clients or of one process."""
        return self._do(lambda: len(self._links_of(process)))

    def _links_of(self, process: psutil.Process | None) -> list[Link]:
        rule = Rule(self._remove, process, None)
        return [link for link in self._links if rule.matches(link.client_port)]

    def _add(self, rule: Rule) -> Rule:
        self._do(lambda: self._rules.append(rule))
        return rule

    def _remove(self, rule: Rule) -> None:
        def remove() -> None:
            if rule in self._rules:
                self._rules.remove(rule)
            self._changed.set()
            self._changed = asyncio.Event()

        self._do(remove)

    def _rules_for(self, client_port: int, direction: Direction | None) -> list[Rule]:
        return [
            it
            for it in self._rules
            if direction is None or it.direction in (None, direction)
            if it.matches(client_port)
        ]

    async def _wait_turn(self, link: Link, direction: Direction, read_at: float) -> None:
        while True:
            rules = self._rules_for(link.client_port, direction)
            delay = sum(it.delay_seconds for it in rules)
            rest = read_at + delay - time.monotonic()
            if not any(it.is_black_hole for it in rules) and rest <= 0:
                return
            # Either may change while this one waits.
            try:
                async with asyncio.timeout(rest if rest > 0 else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self, direction: Direction, seen: bytes) -> Trigger | None:
        for trigger in self._triggers:
            if trigger.direction is direction and trigger.pattern in seen:
                self._triggers.remove(trigger)
                return trigger
        return None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, *client: Any) -> None:
        stream: Stream = (client[0], client[1])
        port = stream[1].get_extra_info("peername")[1]
        try:
            if any(it.is_refusing for it in self._rules_for(port, None)):
                raise ConnectionRefusedError
            target = await self._connect()
        except OSError:
            stream[1].transport.abort()
            return
        link = Link(port, stream, target, self._wait_turn, self._look)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _connect(self) -> Stream:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        ours = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not ours]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, work: Callable[[], Value]) -> Value:
        async def done() -> Value:
            return work()

        return self._run(done())

    def _run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=CALL_SECONDS)


def proxy_to_postgres(server: PostgresServer) -> Proxy:
    """Start a proxy to a PostgreSQL server; its ``url`` takes the place of the server's."""
    parts = urlsplit(server.url)
    folder = Path(parse_qs(parts.query)["host"][0])
    proxy = Proxy(folder / ".s.PGSQL.5432").start()
    place = f"postgres@127.0.0.1:{proxy.port}"
    proxy.url = urlunsplit(("postgresql", place, parts.path, "sslmode=disable", ""))
    return proxy


def proxy_to_redis(server: RedisServer) -> Proxy:
    """Start a proxy to a Redis server; its ``url`` takes the place of the server's."""
    assert server.port is not None
    proxy = Proxy(server.port).start()
    proxy.url = server.url.replace(f":{server.port}/", f":{proxy.port}/")
    return proxy
