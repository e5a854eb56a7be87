"""Everything below the routes, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from actors.bot_config import BotConfigService
from ingress.database_store import DatabaseStore
from ingress.health import HealthMonitor
from ingress.ports import Gateway
from ingress.redis_adapter import RedisAdapter
from ingress.stores import BotConfig, RedisPort, Store
from storage.postgres import Database
from storage.redis_store import RedisStore
from storage.settings import InvalidSettings, Settings

__all__ = ["Backend", "open_backend"]

READ_CONNECTIONS = 5
"""For each process: reads are rare, messages go through the storage writers."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes work with; whoever made it starts and closes it."""

    gateway: Gateway
    store: Store
    redis: RedisPort | None
    """None: running without Redis."""
    bots: BotConfig
    health: HealthMonitor


@asynccontextmanager
async def open_backend(settings: Settings, gateway: Gateway) -> AsyncIterator[Backend]:
    """Connect to the database and Redis; neither need be there yet. Raises ``InvalidSettings``."""
    if settings.postgres_dsn is None:
        raise InvalidSettings("DATABASE_URL or POSTGRES_HOST: one of them must be set")
    async with AsyncExitStack() as stack:
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
        store = DatabaseStore(database, settings)
        adapter = RedisAdapter(redis) if redis else None
        health = HealthMonitor(gateway, adapter, store.ping)
        await health.start()
        stack.push_async_callback(health.stop)
        yield Backend(gateway, store, adapter, bots, health)
