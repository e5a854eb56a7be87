from __future__ import annotations

import asyncio

from ingress.health import HealthMonitor, HealthStatus
from tests.unit.ingress.conftest import World
from tests.unit.ingress.fakes import FakeGateway, FakeRedis


async def health_of(world: World) -> tuple[int, dict[str, str]]:
    answer = await world.client.get("/health")
    return answer.status_code, answer.json()


async def test_all_is_well(world: World) -> None:
    assert await health_of(world) == (200, {"status": "healthy"})


async def test_it_is_degraded_until_every_host_has_redis_again(world: World) -> None:
    world.redis.is_connected = False
    assert await health_of(world) == (200, {"status": "degraded"})
    world.redis.is_connected = True
    world.gateway.redis_everywhere = False
    assert await health_of(world) == (200, {"status": "degraded"})
    world.gateway.redis_everywhere = True
    assert await health_of(world) == (200, {"status": "healthy"})


async def test_without_a_writer_or_host_nothing_can_be_stored(world: World) -> None:
    world.gateway.is_serving = False
    assert await health_of(world) == (503, {"status": "unhealthy"})


async def test_without_the_database_nothing_can_be_stored(world: World) -> None:
    world.store.is_away = True
    await world.health.check()
    assert await health_of(world) == (503, {"status": "unhealthy"})
    assert (await world.client.get("/health/live")).status_code == 200
    world.store.is_away = False
    await world.health.check()
    assert await health_of(world) == (200, {"status": "healthy"})


async def test_a_database_that_hangs_does_not_answer() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monitor = HealthMonitor(FakeGateway(), FakeRedis(), hang, timeout_seconds=0.01)
    await monitor.check()
    assert monitor.status is HealthStatus.UNHEALTHY


async def test_without_redis_configured_it_is_degraded() -> None:
    async def ping() -> None:
        return

    monitor = HealthMonitor(FakeGateway(), None, ping)
    await monitor.start()
    await monitor.stop()
    assert monitor.status is HealthStatus.DEGRADED
    assert monitor.storage_backend == "Memory"


async def test_the_handler_status(world: World) -> None:
    answer = await world.client.get("/api/v1/status/handler")
    assert answer.json() == {
        "initialized": True,
        "components": {
            "redis_connected": True,
            "lock_manager": True,
            "background_job_manager": {
                "redis_connected": True,
                "status": "healthy",
                "active_jobs": 3,
            },
        },
        "status": "healthy",
    }
