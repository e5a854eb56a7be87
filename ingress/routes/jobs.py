"""Jobs: ask for one, cancel one."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.background_jobs import BackgroundJobManager
from ingress.endpoint import Call, Endpoints, Operation
from ingress.event_stream import event_response
from ingress.json_response import JsonResponse
from ingress.message_handler import MessageHandler

__all__ = ["job_routes"]


def job_routes(
    endpoints: Endpoints, handler: MessageHandler, jobs: BackgroundJobManager
) -> list[Route]:
    """Return the routes."""

    async def show(call: Call) -> Response:
        return JsonResponse(await handler.get_job_status(call.path_id("job_id")))

    async def cancel(call: Call) -> Response:
        return JsonResponse(await handler.cancel_job(call.path_id("job_id")))

    async def events(call: Call) -> Response:
        stream = await jobs.open_events(call.path_id("job_id"))
        return event_response("status", jobs.follow_as_json(stream), stream.end)

    path = "/api/v1/jobs/{job_id:segment}"
    return [
        endpoints.route(path, GET=Operation(show, Scope.MESSAGES)),
        endpoints.route(f"{path}/cancel", POST=Operation(cancel, Scope.MESSAGES)),
        endpoints.route(f"{path}/events", GET=Operation(events, Scope.MESSAGES)),
    ]
