"""What a host has to tell each ingress, until it is fetched."""

from __future__ import annotations

import asyncio
from collections import deque

from actors.outcome import Outcome

__all__ = ["OutcomeStreams"]

MAX_WAITING = 20_000
"""Outcomes kept for one ingress; the oldest is dropped beyond (the database has them all)."""
MAX_BATCH = 1_000
MAX_STREAMS = 1_000
FETCH_SECONDS = 10.0


class _Stream:
    def __init__(self) -> None:
        self.waiting: deque[Outcome] = deque(maxlen=MAX_WAITING)
        self.ready = asyncio.Event()


class OutcomeStreams:
    """A bounded queue of outcomes for each ingress; the least recently used is forgotten."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def put(self, ingress_id: str, outcome: Outcome) -> None:
        """Add an outcome for an ingress."""
        stream = self._stream(ingress_id)
        stream.waiting.append(outcome)
        stream.ready.set()

    async def take(self, ingress_id: str) -> list[Outcome]:
        """Return what waits for an ingress, or nothing after ``FETCH_SECONDS``."""
        stream = self._stream(ingress_id)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await stream.ready.wait()
        except TimeoutError:
            return []
        count = min(len(stream.waiting), MAX_BATCH)
        taken = [stream.waiting.popleft() for _ in range(count)]
        if not stream.waiting:
            stream.ready.clear()
        return taken

    def _stream(self, ingress_id: str) -> _Stream:
        stream = self._streams.pop(ingress_id, None) or _Stream()
        self._streams[ingress_id] = stream
        if len(self._streams) > MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        return stream
