"""Server-Sent Events: a job's states as a response that goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import cast

import anyio
import orjson
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from ingress.background_jobs import BackgroundJobManager, job_as_json
from ingress.job_events import JobStream

__all__ = ["HEARTBEAT_SECONDS", "job_event_response"]

HEARTBEAT_SECONDS = 15
SEND_TIMEOUT_SECONDS = 30.0
"""A client that reads nothing for so long is let go."""
FAREWELL_SECONDS = 2.0
"""For the stream to end by itself when the server stops."""
_LINE_END = "\n"


def job_event_response(jobs: BackgroundJobManager, stream: JobStream) -> Response:
    """Return the response that sends the states of a stream, and ends after the last one."""
    return EventSourceResponse(
        _events(jobs, stream),
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=_heartbeat,
        send_timeout=SEND_TIMEOUT_SECONDS,
        shutdown_event=cast("anyio.Event", _Farewell(stream)),
        shutdown_grace_period=FAREWELL_SECONDS,
        sep=_LINE_END,
    )


class _Farewell:
    """What the response sets when the server stops."""

    def __init__(self, stream: JobStream) -> None:
        self._stream = stream

    def set(self) -> None:
        self._stream.end()


async def _events(jobs: BackgroundJobManager, stream: JobStream) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(jobs.follow(stream)) as states:
        async for job in states:
            data = orjson.dumps(job_as_json(job)).decode()
            yield ServerSentEvent(data, event="status", sep=_LINE_END)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="heartbeat", sep=_LINE_END)
