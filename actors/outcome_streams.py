"""What a host has to tell each ingress, until it is fetched."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from actors.outcome import Outcome
from storage.pace import Busyness, Pace, never_busy

__all__ = ["OutcomeSink", "OutcomeStreams"]

MAX_WAITING = 20_000
"""Outcomes kept for one ingress; the oldest is dropped beyond (the database has them all)."""
MAX_WAITING_CHARACTERS = 33_554_432
"""The same for their results."""
MAX_BATCH = 1_000
MAX_BATCH_CHARACTERS = 4_194_304
MAX_STREAMS = 256
UNHEARD_SECONDS = 60.0
"""An ingress that has not asked for so long is gone: nothing is kept for it."""
FETCH_SECONDS = 10.0


class OutcomeSink(Protocol):
    """Takes what there is to tell."""

    def put(self, reply_to: str, outcome: Outcome, /) -> None:
        """Tell an ingress what became of its message."""
        ...


class _Stream:
    def __init__(self, busyness: Busyness) -> None:
        self.waiting: deque[Outcome] = deque()
        self.characters = 0
        self.asked_at = time.monotonic()
        self.ready = asyncio.Event()
        self.pace = Pace(busyness)

    def put(self, outcome: Outcome) -> None:
        self.waiting.append(outcome)
        self.characters += len(outcome.result or "")
        while len(self.waiting) > MAX_WAITING or self.characters > MAX_WAITING_CHARACTERS:
            self.pop()
        self.ready.set()

    def pop(self) -> Outcome:
        outcome = self.waiting.popleft()
        self.characters -= len(outcome.result or "")
        return outcome

    def clear(self) -> None:
        self.waiting.clear()
        self.characters = 0
        self.ready.clear()

    def take(self) -> list[Outcome]:
        taken: list[Outcome] = []
        characters = 0
        while self.waiting and len(taken) < MAX_BATCH and characters < MAX_BATCH_CHARACTERS:
            taken.append(self.pop())
            characters += len(taken[-1].result or "")
        if not self.waiting:
            self.ready.clear()
        return taken


class OutcomeStreams:
    """A bounded queue of outcomes for each ingress; the least recently used is forgotten."""

    def __init__(self, busyness: Busyness = never_busy) -> None:
        self._busyness = busyness
        self._streams: dict[str, _Stream] = {}

    def put(self, ingress_id: str, outcome: Outcome) -> None:
        """Add an outcome for an ingress."""
        stream = self._stream(ingress_id)
        if time.monotonic() - stream.asked_at < UNHEARD_SECONDS:
            stream.put(outcome)
        else:
            stream.clear()

    async def take(self, ingress_id: str) -> list[Outcome]:
        """Return what waits for an ingress, or nothing after ``FETCH_SECONDS``."""
        stream = self._stream(ingress_id)
        stream.asked_at = time.monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await stream.ready.wait()
        except TimeoutError:
            return []
        await stream.pace.wait()
        return stream.take()

    def _stream(self, ingress_id: str) -> _Stream:
        stream = self._streams.pop(ingress_id, None) or _Stream(self._busyness)
        self._streams[ingress_id] = stream
        if len(self._streams) > MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        return stream
