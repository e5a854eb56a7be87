"""The application that a server runs: ``uvicorn ingress.app:app``.

Nothing happens when this is imported. The environment is read, and everything connected, when the
server starts up; all of it is closed when the server shuts down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.bot_config import BotConfigService
from ingress.database_store import DatabaseStore
from ingress.factory import Backend, create_app
from ingress.health import HealthMonitor
from ingress.log_config import configure_logging
from ingress.redis_adapter import RedisAdapter
from storage.postgres import Database
from storage.redis_store import RedisStore
from storage.settings import InvalidSettings, Settings, load_settings

__all__ = ["Ingress", "app", "open_application"]

READ_CONNECTIONS = 5
"""For each process: reads are rare, messages go through the storage writers."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_application(settings: Settings) -> AsyncIterator[ASGIApp]:
    """Connect to the cluster and the database, and serve as long as the block lasts.

    Raises ``InvalidSettings``, or ``ConnectionError`` or ``TimeoutError`` if there is no cluster.
    """
    # Ray takes a while to import, and whoever only looks at this module does not need it.
    from actors.remote import join_cluster, leave_cluster, open_gateway  # noqa: PLC0415

    if settings.postgres_dsn is None:
        raise InvalidSettings("DATABASE_URL or POSTGRES_HOST: one of them must be set")
    async with AsyncExitStack() as stack:
        join_cluster(settings)
        stack.callback(leave_cluster)
        database = await Database.connect(
            settings.postgres_dsn,
            max_connections=READ_CONNECTIONS,
            application_name="chat-orchestrator-ingress",
        )
        stack.push_async_callback(database.close)
        redis = RedisStore.open(settings, owner="ingress")
        if redis is not None:
            stack.push_async_callback(redis.close)
        bots = BotConfigService(database, settings)
        await bots.start()
        stack.push_async_callback(bots.stop)
        gateway = await open_gateway(settings)
        stack.push_async_callback(gateway.close)
        store = DatabaseStore(database, settings)
        adapter = RedisAdapter(redis) if redis else None
        health = HealthMonitor(gateway, adapter, store.ping)
        await health.start()
        stack.push_async_callback(health.stop)
        yield create_app(settings, Backend(gateway, store, adapter, bots, health))


class Ingress:
    """An ASGI application that is put together when the server starts."""

    def __init__(self) -> None:
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
        settings, made_tokens = load_settings().with_generated_tokens()
        configure_logging(settings.log_level)
        for name, token in made_tokens.items():
            print(f"{name}={token}  (made for this start only)", flush=True)  # noqa: T201
        async with open_application(settings) as application:
            self._application = application
            log.info("ingress_ready")
            yield
            self._application = None


app = Ingress()
