"""Channels of the simulated Redis: who listens, and what is told over a connection of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from redis import exceptions

from tests.simulation.process import current_process

if TYPE_CHECKING:
    from tests.simulation.lease_store import LeaseStore

__all__ = ["Listener", "listeners_of"]


class Listener:
    """A connection on which a process listens: ``redis.asyncio.client.PubSub``, as it is used."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self.process = current_process()
        self._channel = ""
        self._messages: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self.is_cut = False

    async def subscribe(self, channel: str) -> None:
        await self._store.reach()
        self._channel = channel
        self._store.listeners.setdefault(channel, []).append(self)
        self._put({"type": "subscribe", "data": 1})

    def hear(self, text: bytes) -> None:
        """Get what was published, after a while and if the connection holds."""
        network = self._store.network
        seconds = network.latency() + self._store.network.weather.redis_latency_seconds
        network.at_home_of(self.process, seconds, self._put, {"type": "message", "data": text})

    def cut(self) -> None:
        """Lose the connection."""
        self.is_cut = True
        self._store.network.at_home_of(self.process, 0.001, self._arrived.set)

    def _put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._arrived.set()

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109 -- as in redis-py
        if not self._messages and not self.is_cut:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        if self._messages:
            return self._messages.popleft()
        raise exceptions.ConnectionError("closed by the server")

    async def ping(self) -> None:
        await self._store.reach()

    async def aclose(self) -> None:
        listeners = self._store.listeners.get(self._channel, [])
        if self in listeners:
            listeners.remove(self)


class _Connection:
    """``redis.asyncio.Redis``, as a listener uses it."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store

    async def initialize(self) -> None:
        await self._store.reach()

    def pubsub(self) -> Listener:
        return Listener(self._store)

    async def aclose(self) -> None:
        """Nothing is open."""


def listeners_of(store: LeaseStore) -> type:
    """Return what takes the place of ``redis.asyncio.Redis`` for those who listen."""

    class Redis:
        @classmethod
        def from_url(cls, url: str, **options: object) -> _Connection:
            del url, options
            return _Connection(store)

    return Redis
