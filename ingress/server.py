"""The HTTP server inside a process that has more to do than serve."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

__all__ = ["IngressServer", "PortInUse", "bind_listener"]

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
    """Uvicorn, leaving signals to its process, and telling when it takes requests."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
            )
        )
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as Uvicorn does, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self.ready.set()
