"""What works: looked at in the background, so that asking costs nothing and never hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from ingress.ports import Gateway
from ingress.stores import RedisPort
from storage.metrics import DATABASE_REACHABLE, HEALTH, REDIS_REACHABLE
from storage.tasks import end_task

__all__ = ["HealthMonitor", "HealthStatus"]

CHECK_INTERVAL_SECONDS = 1.0
CHECK_TIMEOUT_SECONDS = 2.0

log = structlog.get_logger(__name__)


class HealthStatus(StrEnum):
    """What can be done now."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Messages are accepted and answered; leases are kept by the database alone."""
    UNHEALTHY = "unhealthy"
    """Nothing can be stored."""


LEVELS = {HealthStatus.UNHEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.HEALTHY: 2}
"""Health as a number, for metrics."""


class HealthMonitor:
    """``ping_database`` raises when the database does not answer."""

    def __init__(
        self,
        gateway: Gateway,
        redis: RedisPort | None,
        ping_database: Callable[[], Awaitable[object]],
        *,
        timeout_seconds: float = CHECK_TIMEOUT_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._redis = redis
        self._ping_database = ping_database
        self._timeout_seconds = timeout_seconds
        self._task: asyncio.Task[None] | None = None
        self.is_database_connected = False
        """Whether the database answered the last time it was asked."""

    async def start(self) -> None:
        """Check once, then go on checking."""
        await self.check()
        self._task = asyncio.create_task(self._run(), name="health-monitor")

    async def stop(self) -> None:
        """Stop checking."""
        task, self._task = self._task, None
        if task is not None:
            await end_task(task)

    @property
    def is_redis_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._redis is not None and self._redis.is_connected

    @property
    def storage_backend(self) -> str:
        """``Redis``, or ``Memory`` while running without it."""
        return "Redis" if self.is_redis_connected else "Memory"

    @property
    def status(self) -> HealthStatus:
        """What can be done now."""
        if not (self.is_database_connected and self._gateway.is_serving):
            return HealthStatus.UNHEALTHY
        if not (self.is_redis_connected and self._gateway.redis_everywhere):
            return HealthStatus.DEGRADED
        return HealthStatus.HEALTHY

    async def check(self) -> None:
        """Ask the database and Redis once."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._ping_database()
                is_connected = True
        except Exception as error:  # whatever it is, it does not answer
            is_connected = False
            if self.is_database_connected:
                log.warning("database_unreachable", error=type(error).__name__)
        self.is_database_connected = is_connected
        if self._redis is not None:
            await self._redis.ping()
        DATABASE_REACHABLE.set(int(is_connected))
        REDIS_REACHABLE.set(int(self.is_redis_connected))
        HEALTH.set(LEVELS[self.status])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            try:
                await self.check()
            except Exception as error:  # a monitor that has died would report the past for ever
                log.exception("health_check_failed", error=type(error).__name__)
