"""``GET /metrics``, for Prometheus."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.metrics_text import CONTENT_TYPE_LATEST, metrics_text
from ingress.ports import Gateway

__all__ = ["metrics_routes"]


def metrics_routes(endpoints: Endpoints, gateway: Gateway, *, is_open: bool) -> list[Route]:
    """Return the route; unless it ``is_open``, the scope ``admin`` is needed."""

    async def metrics(_: Call) -> Response:
        return Response(metrics_text(gateway.figures_of_all()), media_type=CONTENT_TYPE_LATEST)

    scope = None if is_open else Scope.ADMIN
    return [endpoints.route("/metrics", GET=Operation(metrics, scope))]
