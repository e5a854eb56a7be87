"""The HTTP server inside a process that has more to do than serve."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from ingress.http_protocol import HttpProtocol

__all__ = ["IngressServer", "PortInUse", "bind_listener"]

LAST_ANSWERS_SECONDS = 8.0
"""After so long callers that still wait are told that their turn goes on without them."""
KEEP_ALIVE_SECONDS = 75
"""Longer than clients and load balancers (usually 60 s) keep an idle connection: whoever sends on
one in the moment in which it is closed here hears nothing, and cannot know what became of it."""
GRACEFUL_SHUTDOWN_SECONDS = 10
"""How long requests may go on after a stop; their turns are in the database anyway."""


class PortInUse(RuntimeError):
    """The address cannot be listened on; the text is for a person."""


def bind_listener(host: str, port: int) -> socket.socket:
    """Bind a socket and do not listen yet, so that nobody is let in before all is ready.

    Raises ``PortInUse``.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortInUse(f"cannot listen on {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"cannot listen on port {port} of {host} ({error.strerror}); "
            "is another server running? Choose another port with --port or API_PORT"
        ) from None
    return listener


class IngressServer(uvicorn.Server):
    """Uvicorn, leaving signals to its process, and telling when it takes requests.

    ``before_closing`` is called when a stop has waited ``LAST_ANSWERS_SECONDS`` for requests.
    """

    def __init__(self, app: ASGIApp, before_closing: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                proxy_headers=False,  # nothing here asks where a request came from
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
            )
        )
        self.ready = asyncio.Event()
        self._before_closing = before_closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as Uvicorn does, then say so."""
        AppStatus.should_exit = False
        await super().startup(sockets=sockets)
        if self.started:
            self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as Uvicorn does, with an answer for those who would have to wait too long."""
        AppStatus.should_exit = True  # event streams end
        closing = asyncio.get_running_loop().call_later(LAST_ANSWERS_SECONDS, self._before_closing)
        try:
            await super().shutdown(sockets=sockets)
        finally:
            closing.cancel()
