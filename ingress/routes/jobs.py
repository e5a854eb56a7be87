"""Jobs: ask for one, cancel one."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.json_response import JsonResponse
from ingress.message_handler import MessageHandler

__all__ = ["job_routes"]


def job_routes(endpoints: Endpoints, handler: MessageHandler) -> list[Route]:
    """Return the routes."""

    async def show(call: Call) -> Response:
        return JsonResponse(await handler.get_job_status(call.path_id("job_id")))

    async def cancel(call: Call) -> Response:
        return JsonResponse(await handler.cancel_job(call.path_id("job_id")))

    path = "/api/v1/jobs/{job_id:segment}"
    return [
        endpoints.route(path, GET=Operation(show, Scope.MESSAGES)),
        endpoints.route(f"{path}/cancel", POST=Operation(cancel, Scope.MESSAGES)),
    ]
