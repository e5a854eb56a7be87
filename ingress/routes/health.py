"""What anybody may ask: whether the server lives, works, and in which parts."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.background_jobs import BackgroundJobManager
from ingress.endpoint import Call, Endpoints, Operation
from ingress.health import HealthMonitor, HealthStatus
from ingress.json_response import JsonResponse

__all__ = ["health_routes"]


def health_routes(
    endpoints: Endpoints, health: HealthMonitor, jobs: BackgroundJobManager
) -> list[Route]:
    """Return the routes."""

    async def overall(_: Call) -> Response:
        status = health.status
        code = 503 if status is HealthStatus.UNHEALTHY else 200
        return JsonResponse({"status": status.value}, status_code=code)

    async def live(_: Call) -> Response:
        return JsonResponse({"status": "alive"})

    async def handler(_: Call) -> Response:
        status = health.status
        manager = {
            "redis_connected": health.is_redis_connected,
            "status": status.value,
            "active_jobs": jobs.active_jobs,
        }
        components = {
            "redis_connected": health.is_redis_connected,
            "lock_manager": status is not HealthStatus.UNHEALTHY,
            "background_job_manager": manager,
        }
        return JsonResponse({"initialized": True, "components": components, "status": status.value})

    return [
        endpoints.route("/health", GET=Operation(overall, None)),
        endpoints.route("/health/live", GET=Operation(live, None)),
        endpoints.route("/api/v1/status/handler", GET=Operation(handler, None)),
    ]
