"""What a host has to tell each ingress, until it has heard it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Protocol

from actors.outcome import Outcome
from storage.pace import Busyness, Pace, never_busy
from storage.tasks import wait_at_most

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
        # Beyond all numbers of an earlier stream, of an earlier incarnation of the host too.
        self.first_number = time.time_ns()
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
        self.first_number += 1
        self.characters -= len(outcome.result or "")
        return outcome

    def forget_before(self, number: int) -> None:
        if number <= self.first_number + len(self.waiting):
            while self.first_number < number:
                self.pop()
        if not self.waiting:
            self.ready.clear()

    def clear(self) -> None:
        self.forget_before(self.first_number + len(self.waiting))

    def read(self) -> tuple[int, list[Outcome]]:
        batch: list[Outcome] = []
        characters = 0
        for outcome in islice(self.waiting, MAX_BATCH):
            if characters >= MAX_BATCH_CHARACTERS:
                break
            batch.append(outcome)
            characters += len(outcome.result or "")
        return self.first_number + len(batch), batch


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

    async def read(self, ingress_id: str, next_number: int) -> tuple[int, list[Outcome]]:
        """Return what waits for an ingress, or nothing after ``FETCH_SECONDS``.

        It comes with the number to ask with next. Until the ingress does so, nobody knows whether
        the answer has reached it: the same is returned again.
        """
        stream = self._stream(ingress_id)
        stream.asked_at = time.monotonic()
        stream.forget_before(next_number)
        if not await wait_at_most(stream.ready, FETCH_SECONDS):
            return stream.first_number, []
        await stream.pace.wait()
        return stream.read()

    def _stream(self, ingress_id: str) -> _Stream:
        stream = self._streams.pop(ingress_id, None) or _Stream(self._busyness)
        self._streams[ingress_id] = stream
        if len(self._streams) > MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        return stream
