"""An ASGI application that is put together when its server starts, and taken apart at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LifespanApplication"]

log = structlog.get_logger(__name__)


class LifespanApplication:
    """Serves by the application that ``open_application`` gives, as long as its block lasts."""

    def __init__(
        self, open_application: Callable[[], AbstractAsyncContextManager[ASGIApp]]
    ) -> None:
        self._open_application = open_application
        self._application: ASGIApp | None = None
        self._lifespan = Router(lifespan=self._run)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the whole life of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._application is not None:
            await self._application(scope, receive, send)
        else:
            raise RuntimeError("the server must send lifespan events")

    @asynccontextmanager
    async def _run(self, _: object) -> AsyncIterator[None]:
        async with self._open_application() as application:
            self._application = application
            log.info("ingress_ready")
            yield
            self._application = None
