"""Telling other processes over Redis: channels, to which anybody publishes and one listens.

What is published is heard by who listens at that moment, or by nobody: nothing here is more than
a hint. Who must not miss anything reads the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage.redis_client import RedisClient
from storage.settings import Settings

__all__ = ["MAX_PUBLISHED_BYTES", "ChannelListener", "Channels"]

MAX_PUBLISHED_BYTES = 4 * 1024 * 1024
"""Longer texts are neither published nor taken. Redis cuts a listener off that leaves 32 MiB."""
RETRY_SECONDS = 0.5
PING_SECONDS = 2.0
"""A connection on which nothing was said for so long is asked whether it still works."""
MAX_SILENCE_SECONDS = 3 * PING_SECONDS

_log = structlog.get_logger(__name__)


class Channels:
    """Publishes over a process's client. Nothing here raises for trouble with Redis."""

    def __init__(
        self, client: RedisClient, *, is_cluster: bool, deadline_seconds: float | None = None
    ) -> None:
        self._client = client
        self._is_cluster = is_cluster
        self._deadline_seconds = deadline_seconds

    async def publish(self, texts: Sequence[tuple[str, bytes]]) -> bool:
        """Publish texts, each to its channel, in one round trip; whether Redis took them all."""
        commands = [
            ("PUBLISH", channel, text)
            for channel, text in texts
            if len(text) <= MAX_PUBLISHED_BYTES
        ]
        replies = await self._client.run(commands, self._deadline_seconds) if commands else []
        if replies is None:
            return False
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            _log.warning("publish_refused", count=len(errors), error=str(errors[0])[:200])
        return len(replies) == len(texts) and not errors

    async def have_listeners(self, channels: Sequence[str]) -> list[bool]:
        """Say which channels are listened to.

        A node of a Redis Cluster knows its own listeners only: there all are taken to have one.
        """
        if not channels:
            return []
        if self._is_cluster:
            return [self._client.is_connected] * len(channels)
        replies = await self._client.run(
            [("PUBSUB", "NUMSUB", channel) for channel in channels], self._deadline_seconds
        )
        if replies is None:
            return [False] * len(channels)
        return [_listeners(reply) > 0 for reply in replies]


class ChannelListener:
    """Hears what is published to one channel, over a connection of its own.

    ``receive`` is called with each text, in order, and must not block. It connects again for as
    long as it runs; what is published meanwhile is not heard.
    """

    def __init__(self, settings: Settings, channel: str, receive: Callable[[bytes], None]) -> None:
        self._settings = settings
        self._channel = channel
        self._receive = receive
        self.is_listening = False

    async def run(self) -> None:
        """Listen for ever."""
        dsn = self._settings.redis_dsn
        if dsn is None:
            raise ValueError("there is no Redis to listen to")
        while True:
            redis = self._connect(dsn)
            try:
                await self._listen(redis)
            except Exception as error:  # the client for a Redis Cluster raises more than RedisError
                if self.is_listening:
                    _log.warning("channel_lost", error=type(error).__name__)
            finally:
                self.is_listening = False
                await _close(redis)
            await asyncio.sleep(RETRY_SECONDS)

    def _connect(self, dsn: str) -> Redis | RedisCluster:
        # A fresh one each time: the node that was listened to may have left the cluster.
        options: dict[str, Any] = {
            "socket_timeout": self._settings.redis_socket_timeout,
            "socket_connect_timeout": self._settings.redis_socket_timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if self._settings.redis_cluster:
            return RedisCluster.from_url(dsn, **options)
        return Redis.from_url(dsn, **options)

    async def _listen(self, redis: Redis | RedisCluster) -> None:
        async with asyncio.timeout(self._settings.redis_socket_timeout):
            await redis.initialize()
        pubsub: Any = redis.pubsub()
        try:
            await self._hear(pubsub)
        finally:
            await pubsub.aclose()

    async def _hear(self, pubsub: Any) -> None:
        async with asyncio.timeout(self._settings.redis_socket_timeout):
            await pubsub.subscribe(self._channel)
        heard_at = time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is not None:
                heard_at = time.monotonic()
                self._take(message)
                await asyncio.sleep(0)  # others have work too, however much is published
            elif time.monotonic() - heard_at > MAX_SILENCE_SECONDS:
                raise exceptions.TimeoutError("Redis does not answer")
            else:
                async with asyncio.timeout(self._settings.redis_socket_timeout):
                    await pubsub.ping()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.is_listening = True
            _log.info("channel_open")
        if message["type"] != "message":
            return
        text = message["data"]
        if len(text) > MAX_PUBLISHED_BYTES:
            _log.warning("published_text_too_long", size_bytes=len(text))
            return
        try:
            self._receive(text)
        except Exception:  # one text that cannot be read must not end the listening
            _log.exception("published_text_dropped")


async def _close(redis: Redis | RedisCluster) -> None:
    try:
        await redis.aclose()
    except Exception as error:  # there is nothing to close any more
        _log.debug("close_failed", error=type(error).__name__)


def _listeners(reply: Any) -> int:
    """Read the reply to ``PUBSUB NUMSUB`` about one channel."""
    is_count = isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], int)
    return reply[1] if is_count else 0
