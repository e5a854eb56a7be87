"""Keeps the conversations' states in Redis fresh: many at once, the latest of each."""

from __future__ import annotations

import asyncio
import time
from itertools import islice

from actors.conversation.phase import IN_TURN
from actors.seat import Seat
from storage.pace import Busyness, Pace, never_busy
from storage.records import ContextEntry
from storage.redis_state import CachedState, StateCache

__all__ = ["StateSaver"]

MAX_BATCH = 500
LONGEST_PAUSE_SECONDS = 1.0
"""Between two batches, while much is under way: what changes twice meanwhile is written once."""
SHORTEST_PAUSE_SECONDS = 0.25
"""The same, while little is: a turn changes its conversation three times."""
MAX_WAITING = 20_000
"""States that wait to be written; beyond, further ones are dropped (it is a cache)."""


class StateSaver:
    """Writes the states of the seats that changed, one pipeline at a time."""

    def __init__(
        self, cache: StateCache | None, owner: str, busyness: Busyness = never_busy
    ) -> None:
        self._cache = cache
        self._owner = owner
        self._changed: dict[str, Seat | CachedState] = {}
        self._erased: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._pace = Pace(
            busyness,
            longest_seconds=LONGEST_PAUSE_SECONDS,
            shortest_seconds=SHORTEST_PAUSE_SECONDS,
        )
        self._hurry = asyncio.Event()
        self._is_draining = False

    def save(self, seat: Seat) -> None:
        """Write the seat's state soon."""
        if self._cache is None:
            return
        key = seat.conversation_id
        if key in self._changed or len(self._changed) < MAX_WAITING:
            self._changed[key] = seat
            self._start()

    def keep(self, seat: Seat) -> None:
        """Take down what is still to be written of a seat that is about to be forgotten."""
        if seat.conversation_id in self._changed:
            self._changed[seat.conversation_id] = self._state_of(seat)
            self._hurry.set()  # somebody else may have the conversation soon

    def erase(self, conversation_id: str) -> None:
        """Delete a conversation's state soon, behind what is being written of it now."""
        self._changed.pop(conversation_id, None)
        if self._cache is not None and len(self._erased) < MAX_WAITING:
            self._erased.add(conversation_id)
            self._start()

    async def drain(self) -> None:
        """Write all that is left, and wait until it is written."""
        self._is_draining = True
        self._hurry.set()
        while self._task is not None:
            await asyncio.wait([self._task])

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while (self._changed or self._erased) and self._cache is not None:
                await self._pace.wait(self._hurry)
                if not self._is_draining:
                    self._hurry.clear()
                if self._erased:  # first: what has changed may be of a new conversation
                    await self._cache.delete([self._erased.pop() for _ in range(len(self._erased))])
                # The next ones are put together only once these are written: they may be long.
                names = list(islice(self._changed, MAX_BATCH))
                changed = [self._changed.pop(name) for name in names]
                states = [
                    it if isinstance(it, CachedState) else self._state_of(it) for it in changed
                ]
                await self._cache.write(states)
        finally:
            self._task = None

    def _state_of(self, seat: Seat) -> CachedState:
        conversation = seat.conversation
        return CachedState(
            conversation_id=seat.conversation_id,
            epoch=conversation.epoch,
            position=conversation.context_position,
            last_message_id=seat.last_message_id,
            last_message_timestamp=seat.last_message_timestamp,
            is_running=conversation.phase in IN_TURN,
            waiting=len(conversation.mailbox),
            status=conversation.status,
            owner=self._owner,
            last_activity_at=time.time(),
            context=[ContextEntry(role=it.role, content=it.content) for it in conversation.context],
        )
