"""The connection to Redis: pipelines with a deadline, and what happens while it is away.

Nothing here raises on connection trouble. Whoever asks while Redis is away gets None at once;
one probe in the background finds out when it is back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Any, cast

import structlog
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from storage.settings import Settings
from storage.tasks import end_task

__all__ = ["Command", "RedisClient", "Script"]

LARGEST_PIPELINE = 512
PROBE_INTERVAL_SECONDS = 0.25
PROBE_TIMEOUT_SECONDS = 1.0
PROBE_KEY = "lease:"
"""The lease of no conversation: who may write leases may write this."""

_log = structlog.get_logger(__name__)

Command = tuple[Any, ...]
"""One command with its arguments. It names at most one key, so that a cluster can take it, unless
it is for a server that ``takes_many_keys``."""

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.ReadOnlyError,
    exceptions.RedisClusterException,
    OSError,
)


class Script:
    """A Lua script from ``storage/lua``, called by its digest once the server knows it."""

    def __init__(self, name: str) -> None:
        self.text = files("storage").joinpath("lua", f"{name}.lua").read_text()
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        _SCRIPTS[self.digest] = self.text

    def call(self, key: str, *arguments: str | int | float | bytes) -> Command:
        """Return the command that runs the script on one key."""
        return ("EVALSHA", self.digest, 1, key, *arguments)

    def call_many(self, keys: Sequence[str], *arguments: str | int) -> Command:
        """Return the command that runs the script on several keys."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


_SCRIPTS: dict[str, str] = {}


class RedisClient:
    """A bounded pool of connections to one Redis, or to a Redis Cluster.

    Make it inside the event loop that uses it, and ``close`` it there.
    """

    def __init__(
        self,
        url: str,
        *,
        is_cluster: bool = False,
        max_connections: int = 100,
        socket_timeout_seconds: float = 5.0,
    ) -> None:
        self.socket_timeout_seconds = socket_timeout_seconds
        self._redis: Redis | RedisCluster
        if is_cluster:
            self._redis = RedisCluster.from_url(
                url,
                max_connections=max_connections,
                socket_timeout=socket_timeout_seconds,
                socket_connect_timeout=socket_timeout_seconds,
                retry=Retry(NoBackoff(), 1),  # once, where slots have moved
                protocol=2,
            )
        else:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=max_connections,
                timeout=socket_timeout_seconds,
                socket_timeout=socket_timeout_seconds,
                socket_connect_timeout=socket_timeout_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
            self._redis = Redis.from_pool(pool)
        self._probe: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    def from_settings(cls, settings: Settings) -> RedisClient | None:
        """Return a client for the configured Redis; None if there is none."""
        if settings.redis_dsn is None:
            return None
        return cls(
            settings.redis_dsn,
            is_cluster=settings.redis_cluster,
            max_connections=settings.redis_max_connections,
            socket_timeout_seconds=settings.redis_socket_timeout,
        )

    @property
    def takes_many_keys(self) -> bool:
        """Whether a command may name any keys together: in a cluster they are on several nodes."""
        return not isinstance(self._redis, RedisCluster)

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._probe is None and not self._is_closed

    async def run(
        self, commands: Sequence[Command], deadline_seconds: float | None = None
    ) -> list[Any] | None:
        """Run commands in pipelines that are no transactions; return their replies in order.

        A command that failed has its exception as its reply. None: Redis is away, or did not
        answer within the deadline (default: the socket timeout); what was sent may have been
        done.
        """
        if not self.is_connected:
            return None
        try:
            async with asyncio.timeout(deadline_seconds or self.socket_timeout_seconds):
                replies = await self._run_all(commands)
        except exceptions.DataError:
            raise  # an argument of a wrong type: our mistake, not Redis's
        except (*_AWAY, exceptions.RedisError) as error:
            self._open(error)
            return None
        if replies and all(isinstance(reply, _AWAY) for reply in replies):
            self._open(replies[0])
            return None
        return replies

    async def ping(self) -> bool:
        """Ask Redis now, if it is not known to be away; return whether it answered."""
        return await self.run([("PING",)], PROBE_TIMEOUT_SECONDS) is not None

    async def wait_until_connected(self) -> None:
        """Return once Redis answers again; at once if it is not known to be away."""
        if self._probe is not None:
            await asyncio.wait({self._probe})

    async def close(self) -> None:
        """Close all connections. Calls after it answer None."""
        self._is_closed = True
        if self._probe is not None:
            await end_task(self._probe)
        await self._redis.aclose()

    async def info(self) -> list[dict[str, Any]]:
        """Return what ``INFO`` says, one object a node; none while Redis is away."""
        if not self.is_connected:
            return []
        try:
            async with asyncio.timeout(self.socket_timeout_seconds):
                if isinstance(self._redis, RedisCluster):
                    answer = await self._redis.info(target_nodes=RedisCluster.ALL_NODES)
                    nodes = list(answer.values())
                    # With a single node the client leaves its name out.
                    return nodes if isinstance(nodes[0], dict) else [answer]
                return [await self._redis.info()]
        except (*_AWAY, exceptions.RedisError) as error:
            self._open(error)
            return []

    async def keys(self, pattern: str, page_size: int = 500) -> AsyncIterator[list[str]]:
        """Yield the keys that match, in pages; a key may come twice. Ends when Redis goes away.

        Looks at every key there is: for rare work only.
        """
        page: list[str] = []
        try:
            async for key in self._redis.scan_iter(match=pattern, count=page_size):
                page.append(key.decode(errors="replace"))
                if len(page) >= page_size:
                    yield page
                    page = []
        except (*_AWAY, exceptions.RedisError) as error:
            self._open(error)
        if page:
            yield page

    async def _run_all(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._run_chunks(commands)
        unknown = [
            index
            for index, reply in enumerate(replies)
            if isinstance(reply, exceptions.NoScriptError)
        ]
        # A server that came back empty has forgotten the scripts. Sending the text loads them.
        again = await self._run_chunks([_with_text(commands[index]) for index in unknown])
        for index, reply in zip(unknown, again, strict=True):
            replies[index] = reply
        return replies

    async def _run_chunks(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        for start in range(0, len(commands), LARGEST_PIPELINE):
            replies += await self._run_some(commands[start : start + LARGEST_PIPELINE])
        return replies

    async def _run_some(self, commands: Sequence[Command]) -> list[Any]:
        redis = self._redis
        pipeline: Any = (
            redis.pipeline()
            if isinstance(redis, RedisCluster)
            else redis.pipeline(transaction=False)
        )
        for command in commands:
            pipeline.execute_command(*command)
        return cast("list[Any]", await pipeline.execute(raise_on_error=False))

    def _open(self, error: BaseException) -> None:
        """Stop asking, and begin to probe."""
        if self._probe is None and not self._is_closed:
            _log.warning("Redis connection failed, using fallback", error=type(error).__name__)
            self._probe = asyncio.create_task(self._probe_until_back(), name="redis-probe")

    async def _probe_until_back(self) -> None:
        is_back = False
        while not is_back:
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
            is_back = await self._takes_writes()
        self._probe = None
        _log.info("Redis connection restored")

    async def _takes_writes(self) -> bool:
        """Whether Redis is back for what we need: a replica, say, answers but takes no lease."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._redis.set(PROBE_KEY, 1, px=1000)
        except exceptions.OutOfMemoryError:
            return True  # it answers; the replies say what it refuses
        except (*_AWAY, exceptions.RedisError):
            return False
        return True


def _with_text(command: Command) -> Command:
    return ("EVAL", _SCRIPTS[command[1]], *command[2:])
