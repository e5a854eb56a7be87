"""A simulated Redis: the few commands that the product uses, and its Lua scripts by their rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis import exceptions

from storage import redis_lease, redis_state
from storage.records import LeaseKind
from storage.redis_client import _SCRIPTS, Command, RedisClient
from tests.simulation.channels import Listener
from tests.simulation.checker import Checker
from tests.simulation.network import Network
from tests.simulation.process import current_process

__all__ = ["LeaseStore", "connect"]

Fields = dict[str, bytes]


class LeaseStore:
    """The server: hashes with an end."""

    def __init__(self, network: Network, checker: Checker) -> None:
        self.network = network
        self.hashes: dict[str, tuple[Fields, float]] = {}
        self.scripts: set[str] = set()
        self.listeners: dict[str, list[Listener]] = {}
        self._checker = checker
        self._by_digest: dict[str, Callable[..., Any]] = {
            redis_lease._ACQUIRE.digest: self.acquire,
            redis_lease._RENEW.digest: self.renew,
            redis_lease._RELEASE.digest: self.release,
            redis_state._WRITE.digest: self.write_state,
            redis_state._NOTE.digest: self.note_activity,
        }

    @property
    def now(self) -> float:
        return self.network.loop.now

    def forget(self) -> None:
        """Come back empty."""
        self._checker.leases.forget()
        self.cut_listeners()
        self.hashes.clear()
        self.scripts.clear()

    def cut_listeners(self) -> None:
        """Close the connections of all who listen."""
        for listener in [it for found in self.listeners.values() for it in found]:
            listener.cut()
        self.listeners.clear()

    def run(self, who: str, commands: list[Command]) -> list[Any]:
        """Run a pipeline; a command that fails has its exception as its reply."""
        replies = [self._run_one(*command) for command in commands]
        network = self.network
        network.trace.note(self.now, f"Redis {who} {_brief(commands, replies)}")
        return replies

    def _run_one(self, name: str, *arguments: Any) -> Any:  # noqa: PLR0911 -- one a command
        match name:
            case "EVALSHA":
                if arguments[0] not in self.scripts:
                    return exceptions.NoScriptError("NOSCRIPT")
                return self._by_digest[arguments[0]](*arguments[2:])
            case "EVAL":
                digest = next(d for d, s in _SCRIPTS.items() if s == arguments[0])
                self.scripts.add(digest)
                return self._by_digest[digest](*arguments[2:])
            case "HMGET":
                fields = self.get(arguments[0]) or {}
                return [fields.get(field) for field in arguments[1:]]
            case "DEL" | "UNLINK":
                return sum(self._delete(key) for key in arguments)
            case "PTTL":
                held = self.hashes.get(arguments[0])
                return round((held[1] - self.now) * 1000) if held else -2
            case "PUBLISH":
                return self._publish(*arguments)
            case "PUBSUB":
                return [arguments[1].encode(), len(self.listeners.get(arguments[1], ()))]
            case "PING" | "ZADD" | "ZREM" | "ZREMRANGEBYSCORE" | "ZREMRANGEBYRANK" | "EXPIRE":
                return 1
            case _:
                raise NotImplementedError(f"the simulated Redis knows no {name}")

    def _publish(self, channel: str, text: bytes) -> int:
        heard_by = self.listeners.get(channel, [])
        for listener in heard_by:
            if str(listener.process) not in self.network.weather.redis_unreachable_from:
                listener.hear(text)
        return len(heard_by)

    async def reach(self) -> None:
        """Ask for nothing, over a connection that may not get through."""
        await _Connection(self).run([("PING",)])

    def _delete(self, key: str) -> bool:
        if key.startswith("lease:"):
            self._checker.leases.delete(key.removeprefix("lease:"))
        return self.hashes.pop(key, None) is not None

    def get(self, key: str) -> Fields | None:
        """Return a hash that has not ended."""
        held = self.hashes.get(key)
        if held is None or held[1] <= self.now:
            self.hashes.pop(key, None)
            return None
        return held[0]

    def acquire(
        self, key: str, owner: str, cluster: str, lock_id: str, ttl_ms: int, dead_owner: str
    ) -> list[Any]:
        """``acquire_lease.lua``."""
        held = self.get(key)
        if held is not None:
            holder = held["owner"].decode()
            is_retry = holder == owner and held["lock_id"].decode() == lock_id
            if not (is_retry or (dead_owner and holder == dead_owner)):
                left = round((self.hashes[key][1] - self.now) * 1000)
                return [held["owner"], held["cluster"], left]
        fields = {"owner": owner, "cluster": cluster, "lock_id": lock_id}
        encoded = {name: value.encode() for name, value in fields.items()}
        self.hashes[key] = (encoded, self.now + ttl_ms / 1000)
        self._promise(key, owner, ttl_ms)
        return []

    def renew(self, *arguments: Any) -> list[int]:
        """``renew_lease.lua``."""
        count = len(arguments) // 2
        keys, ttl_ms, lock_ids = arguments[:count], arguments[count], arguments[count + 1 :]
        lost: list[int] = []
        for place, (key, lock_id) in enumerate(zip(keys, lock_ids, strict=True), start=1):
            held = self.get(key)
            if held is None or not self.is_same_lock(held, lock_id):
                lost.append(place)
                continue
            self.hashes[key] = (held, self.now + ttl_ms / 1000)
            self._promise(key, held["owner"].decode(), ttl_ms)
        return lost

    def _promise(self, key: str, owner: str, ttl_ms: int) -> None:
        conversation_id = key.removeprefix("lease:")
        self._checker.leases.hold(conversation_id, owner, ttl_ms / 1000, LeaseKind.REDIS)

    def is_same_lock(self, held: Fields, lock_id: str) -> bool:
        """Whether a lease is held under this lock id."""
        return held["lock_id"] == lock_id.encode()

    def release(self, key: str, lock_id: str) -> int:
        """``release_lease.lua``."""
        held = self.get(key)
        if held is None or not self.is_same_lock(held, lock_id):
            return 0
        del self.hashes[key]
        owner = held["owner"].decode()
        self._checker.leases.give_back(key.removeprefix("lease:"), owner)
        return 1

    def write_state(self, key: str, ttl_ms: int, epoch: int, position: int, *pairs: Any) -> int:
        """``write_state.lua``."""
        stored = self.get(key)
        fields: Fields = {}
        if stored is not None:
            ahead = int(stored["epoch"]) - epoch
            if ahead > 0 or (ahead == 0 and int(stored["position"]) > position):
                return 0
            if int(stored["position"]) == position:
                fields = stored
        fields |= {"epoch": b"%d" % epoch, "position": b"%d" % position}
        fields |= {name: _bytes(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        self.hashes[key] = (fields, self.now + ttl_ms / 1000)
        return 1

    def note_activity(self, key: str, *arguments: Any) -> int:
        """``note_activity.lua``: an index that nothing simulated reads."""
        return 1


def _brief(commands: list[Command], replies: list[Any]) -> str:
    said = []
    for command, reply in zip(commands, replies, strict=True):
        key = command[3 if command[0].startswith("EVAL") else 1] if len(command) > 1 else ""
        said.append(
            f"{command[0]} {key} {command[5:6]} {reply if not reply or reply == 1 else '..'}"
        )
    return ", ".join(said)


def _bytes(value: str | float | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class _Pipeline:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._commands: list[Command] = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        return await self._connection.run(self._commands) if self._commands else []


class _Connection:
    """What a ``RedisClient`` takes for its pool of connections."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._name = str(current_process())

    def pipeline(self, *, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self)

    async def set(self, key: str, value: int, *, px: int) -> None:
        del key, value, px  # a probe
        await self.run([("PING",)])

    async def run(self, commands: list[Command]) -> list[Any]:
        network = self._store.network
        weather, random = network.weather, network.random
        if weather.redis_is_down:
            await network.wait(0.001, exceptions.ConnectionError("refused"))
        if self._name in weather.redis_unreachable_from:
            await network.wait(60.0, exceptions.TimeoutError("black hole"))
        slow = weather.redis_latency_seconds
        error = None
        if weather.redis_answer_lost and random.random() < weather.redis_answer_lost:
            weather.inject("Redis answer lost")
            error = exceptions.ConnectionError("cut off")
        return await network.ask(
            lambda: self._store.run(self._name, commands),
            there=network.latency() + slow * random.random(),
            back=network.latency() + slow * random.random(),
            error=error,
        )

    async def aclose(self) -> None:
        """Nothing is open."""


def connect(store: LeaseStore) -> RedisClient:
    """Return a client of the simulated server; all but its connections is the real one."""
    client = RedisClient.__new__(RedisClient)
    client.socket_timeout_seconds = 5.0
    client._redis = _Connection(store)  # type: ignore[assignment]
    client._probe = None
    client._is_closed = False
    return client
