"""The admin's view of the whole: health, statistics, clean-up, simulated deliveries."""

from __future__ import annotations

import time
from dataclasses import asdict

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.json_response import JsonResponse
from ingress.ports import Gateway
from ingress.queries import CleanupQuery
from ingress.system_report import SystemReport

__all__ = ["system_routes"]


def system_routes(endpoints: Endpoints, report: SystemReport, gateway: Gateway) -> list[Route]:
    """Return the routes."""

    async def health(_: Call) -> Response:
        return JsonResponse({**await report.health(), "timestamp": time.time()})

    async def statistics(_: Call) -> Response:
        return JsonResponse({"timestamp": time.time(), **await report.statistics()})

    async def cleanup(call: Call) -> Response:
        query = call.query(CleanupQuery)
        removed = await report.cleanup(query.max_age_hours, dry_run=query.dry_run)
        return JsonResponse(
            {
                "success": True,
                "dry_run": query.dry_run,
                "max_age_hours": query.max_age_hours,
                "removed": asdict(removed),
            }
        )

    async def deliveries(_: Call) -> Response:
        return JsonResponse({"deliveries": await gateway.simulated_deliveries()})

    base = "/api/v1/admin"
    clean = Operation(cleanup, Scope.ADMIN)
    return [
        endpoints.route(f"{base}/health", GET=Operation(health, Scope.ADMIN)),
        endpoints.route(f"{base}/stats", GET=Operation(statistics, Scope.ADMIN)),
        endpoints.route(f"{base}/system/cleanup", POST=clean),
        endpoints.route("/admin/system/cleanup", POST=clean),
        endpoints.route(f"{base}/deliveries", GET=Operation(deliveries, Scope.ADMIN)),
    ]
