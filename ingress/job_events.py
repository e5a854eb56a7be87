"""Jobs whose changes are listened to: one look at the database for all of them together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from ingress.errors import Busy
from ingress.ports import Gateway
from ingress.stores import JobStore
from storage.postgres import DatabaseRejected, DatabaseUnavailable
from storage.records import JobStatus
from storage.tasks import wait_at_most
from storage.views import JobView

__all__ = ["MAX_STREAMS", "JobEvents", "JobStream"]

MAX_STREAMS = 1_000
"""Open at the same time in one instance."""
MAX_KEPT = 16
"""Changes kept for a client that does not read; the oldest go."""
LOOK_SECONDS = 0.5
"""How often the database is looked at while anybody listens."""
PAUSE_SECONDS = 0.05
"""At least, between two looks: hosts may have much to tell."""

log = structlog.get_logger(__name__)


class JobStream:
    """The states of one job: the present one, then each that it changes to, until it is final."""

    def __init__(self, job: JobView) -> None:
        self.job_id = job.job_id
        self.status: JobStatus | None = None
        self._waiting: deque[JobView] = deque(maxlen=MAX_KEPT)
        self._changed = asyncio.Event()
        self._is_over = False
        self.put(job)

    def put(self, job: JobView) -> None:
        """Tell of the job as it is now."""
        if self._is_over or job.status is self.status:
            return
        self.status = job.status
        self._waiting.append(job)
        self._is_over = job.status.is_final
        self._changed.set()

    def end(self) -> None:
        """Tell of nothing more: the job was erased, or the server stops."""
        self._is_over = True
        self._changed.set()

    async def states(self) -> AsyncGenerator[JobView]:
        """Yield the states as they come."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_over:
                return
            self._changed.clear()
            await self._changed.wait()


class JobEvents:
    """Keeps the streams of an instance up to date.

    What hosts tell this instance is the reason to look at once; the look each ``LOOK_SECONDS``
    sees what they tell others.
    """

    def __init__(self, store: JobStore, gateway: Gateway) -> None:
        self._store = store
        self._streams: dict[str, set[JobStream]] = {}
        self._count = 0
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        gateway.on_word_of_job(self._hear)

    def check_room(self) -> None:
        """Raise ``Busy`` if too many streams are open."""
        if self._is_full:
            raise Busy("Too many event streams are open")

    async def follow(self, stream: JobStream) -> AsyncGenerator[JobView]:
        """Yield the states of a stream; it takes part as long as this runs.

        It ends at once where others, which were let in at the same time, have taken all room.
        """
        if self._is_full:
            return
        self._add(stream)
        try:
            async with aclosing(stream.states()) as states:
                async for job in states:
                    yield job
        finally:
            self._remove(stream)

    @property
    def _is_full(self) -> bool:
        return self._count >= MAX_STREAMS

    def _add(self, stream: JobStream) -> None:
        self._streams.setdefault(stream.job_id, set()).add(stream)
        self._count += 1
        self._heard.set()  # it may have changed since it was read
        if self._task is None:
            self._task = asyncio.create_task(self._look())

    def _remove(self, stream: JobStream) -> None:
        listening = self._streams[stream.job_id]
        listening.discard(stream)
        self._count -= 1
        if not listening:
            del self._streams[stream.job_id]

    def _hear(self, job_id: str) -> None:
        if job_id in self._streams:
            self._heard.set()

    async def _look(self) -> None:
        """Look as long as anybody listens."""
        try:
            while self._streams:
                self._heard.clear()
                try:
                    await self._tell_changes()
                except (DatabaseUnavailable, DatabaseRejected) as error:
                    log.warning("job_events_not_read", error=type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)
                await wait_at_most(self._heard, LOOK_SECONDS)
        finally:
            self._task = None

    async def _tell_changes(self) -> None:
        watched = list(self._streams)
        statuses = await self._store.job_statuses(watched)
        for job_id in watched:
            if job_id not in statuses:
                self._end(job_id)
        changed = [it for it, status in statuses.items() if self._is_news(it, status)]
        for job in await self._store.find_jobs(changed) if changed else ():
            for stream in self._streams.get(job.job_id, ()):
                stream.put(job)

    def _is_news(self, job_id: str, status: JobStatus) -> bool:
        return any(stream.status is not status for stream in self._streams.get(job_id, ()))

    def _end(self, job_id: str) -> None:
        for stream in self._streams.get(job_id, ()):
            stream.end()
