"""Server-Sent Events: what goes on happening as a response that goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import anyio
import orjson
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["HEARTBEAT_SECONDS", "event_response"]

HEARTBEAT_SECONDS = 15
SEND_TIMEOUT_SECONDS = 30.0
"""A client that reads nothing for so long is let go."""
FAREWELL_SECONDS = 2.0
"""For the stream to end by itself when the server stops."""
_LINE_END = "\n"


def event_response(
    name: str, documents: AsyncGenerator[dict[str, Any]], end: Callable[[], None]
) -> Response:
    """Return the response that sends each of ``documents`` as an event called ``name``.

    ``end`` is called when the server stops; then the documents have to end.
    """
    return _EventResponse(
        _events(name, documents),
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=_heartbeat,
        send_timeout=SEND_TIMEOUT_SECONDS,
        shutdown_event=cast("anyio.Event", _Farewell(end)),
        shutdown_grace_period=FAREWELL_SECONDS,
        sep=_LINE_END,
    )


class _EventResponse(EventSourceResponse):
    """A stream; who asks for its headers alone has nothing to wait for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})


class _Farewell:
    """What the response sets when the server stops."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def set(self) -> None:
        self._end()


async def _events(
    name: str, documents: AsyncGenerator[dict[str, Any]]
) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(documents):
        async for document in documents:
            yield ServerSentEvent(orjson.dumps(document).decode(), event=name, sep=_LINE_END)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="heartbeat", sep=_LINE_END)
