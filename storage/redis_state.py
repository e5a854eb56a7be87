"""What Redis knows of each conversation: a cache that every cluster may read.

The database is the truth. So what cannot be written is dropped and counted, and what cannot be
read is None.
"""

from __future__ import annotations

import heapq
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog

from storage.records import ContextEntry, Record
from storage.redis_client import Command, RedisClient, Script

__all__ = ["CachedState", "StateCache"]

INDEX_KEYS = 64
"""The index by last activity is split into so many keys, so that none grows hot."""
LARGEST_INDEX_KEY = 10_000

_log = structlog.get_logger(__name__)
_WRITE = Script("write_state")
_NOTE = Script("note_activity")
_CONTEXT = msgspec.msgpack.Decoder(list[ContextEntry])
_FIELDS = (
    "epoch",
    "position",
    "last_message_id",
    "last_message_timestamp",
    "is_running",
    "waiting",
    "status",
    "owner",
    "last_activity_at",
)


class CachedState(Record, frozen=True):
    """The state of a conversation as its owner last wrote it.

    Its version is ``epoch`` and ``position``: a context is current where the position is.
    """

    conversation_id: str
    epoch: int
    position: int
    last_message_id: str | None
    last_message_timestamp: float | None
    is_running: bool
    waiting: int
    status: str
    owner: str
    last_activity_at: float
    """Unix seconds, by its owner's clock."""
    context: list[ContextEntry] | None = None
    """Oldest first; None where it was not asked for."""


class StateCache:
    """Reads and writes the states of many conversations at once. Never raises on Redis trouble."""

    def __init__(self, client: RedisClient, *, ttl_seconds: int) -> None:
        self.dropped_writes = 0
        """How many states could not be written since the start."""
        self._client = client
        self._ttl_seconds = ttl_seconds

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._client.is_connected

    async def write(self, states: Sequence[CachedState]) -> None:
        """Replace states, each unless a later owner has written it already."""
        if not states:
            return
        ttl_ms = self._ttl_seconds * 1000
        commands: list[Command] = [
            _WRITE.call(
                state_key(it.conversation_id), ttl_ms, it.epoch, it.position, *_pairs_of(it)
            )
            for it in states
        ]
        replies = await self._client.run([*commands, *self._index_commands(states)])
        written = replies[: len(states)] if replies else []
        self.dropped_writes += len(states) - sum(isinstance(reply, int) for reply in written)
        if errors := [reply for reply in replies or () if isinstance(reply, Exception)]:
            _log.warning(
                "Redis refused state commands", count=len(errors), error=str(errors[0])[:200]
            )

    async def read(
        self, conversation_ids: Sequence[str], *, with_context: bool = False
    ) -> list[CachedState | None]:
        """Return states in the order of the ids; None where there is none."""
        if not conversation_ids:
            return []
        replies = await self._client.run(
            [self.read_command(it, with_context=with_context) for it in conversation_ids]
        )
        answers = replies or [None] * len(conversation_ids)
        pairs = zip(conversation_ids, answers, strict=True)
        return [self.read_answer(conversation_id, reply) for conversation_id, reply in pairs]

    async def delete(self, conversation_ids: Sequence[str]) -> int:
        """Forget conversations; return how many states there were."""
        if not conversation_ids:
            return 0
        commands: list[Command] = [("UNLINK", state_key(it)) for it in conversation_ids]
        for key, members in _by_index_key(conversation_ids).items():
            commands.append(("ZREM", key, *members))
        replies = await self._client.run(commands)
        return sum(reply == 1 for reply in (replies or [])[: len(conversation_ids)])

    async def recent(self, limit: int) -> list[tuple[str, float]]:
        """Return the conversations last active, newest first, with Unix seconds of Redis."""
        replies = await self._client.run(
            [("ZREVRANGE", _index_key(n), 0, limit - 1, "WITHSCORES") for n in range(INDEX_KEYS)]
        )
        found: list[tuple[float, str]] = []
        for reply in replies or ():
            if isinstance(reply, list):
                members = [member.decode() for member in reply[::2]]
                found += zip((float(score) for score in reply[1::2]), members, strict=True)
        return [(member, score) for score, member in heapq.nlargest(limit, found)]

    def read_command(self, conversation_id: str, *, with_context: bool) -> Command:
        """Return the command of ``read``, for a pipeline that does more than that."""
        context = ("context",) if with_context else ()
        return ("HMGET", state_key(conversation_id), *_FIELDS, *context)

    def read_answer(self, conversation_id: str, reply: Any) -> CachedState | None:
        """Read the reply to ``read_command``; None is that there was none."""
        if not isinstance(reply, list) or reply[0] is None:
            return None
        try:
            return _state_of(conversation_id, reply)
        except (ValueError, AttributeError, msgspec.DecodeError) as error:
            # Written by another release, say: as good as not there.
            _log.warning("Redis holds a state that is not one", error=type(error).__name__)
            return None

    def _index_commands(self, states: Iterable[CachedState]) -> list[Command]:
        groups = _by_index_key(it.conversation_id for it in states)
        return [
            _NOTE.call(key, self._ttl_seconds, LARGEST_INDEX_KEY, *members)
            for key, members in groups.items()
        ]


def state_key(conversation_id: str) -> str:
    """Return the key of a conversation's state."""
    return f"state:{conversation_id}"


def _index_key(number: int) -> str:
    return f"activity:{number}"


def _by_index_key(conversation_ids: Iterable[str]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for conversation_id in conversation_ids:
        groups[_index_key(zlib.crc32(conversation_id.encode()) % INDEX_KEYS)].append(
            conversation_id
        )
    return groups


def _pairs_of(state: CachedState) -> list[str | int | float | bytes]:
    pairs: list[str | int | float | bytes] = [
        "is_running",
        int(state.is_running),
        "waiting",
        state.waiting,
        "status",
        state.status,
        "owner",
        state.owner,
        "last_activity_at",
        state.last_activity_at,
    ]
    if state.last_message_id is not None:
        pairs += ["last_message_id", state.last_message_id]
    if state.last_message_timestamp is not None:
        pairs += ["last_message_timestamp", state.last_message_timestamp]
    if state.context is not None:
        pairs += ["context", msgspec.msgpack.encode(state.context)]
    return pairs


def _state_of(conversation_id: str, reply: list[bytes | None]) -> CachedState:
    values = dict(zip((*_FIELDS, "context"), reply, strict=False))
    context = values.get("context")

    def text(name: str) -> str:
        value = values[name]
        if value is None:
            raise ValueError(f"no {name}")
        return value.decode()

    last_id, last_timestamp = values["last_message_id"], values["last_message_timestamp"]
    return CachedState(
        conversation_id=conversation_id,
        epoch=int(text("epoch")),
        position=int(text("position")),
        last_message_id=None if last_id is None else last_id.decode(),
        last_message_timestamp=None if last_timestamp is None else float(last_timestamp),
        is_running=text("is_running") == "1",
        waiting=int(text("waiting")),
        status=text("status"),
        owner=text("owner"),
        last_activity_at=float(text("last_activity_at")),
        context=None if context is None else _CONTEXT.decode(context),
    )
