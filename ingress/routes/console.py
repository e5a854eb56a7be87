"""The operator console: its page, and what it is kept up to date with.

The page and its files hold no data, so they are open; all that they show is asked for with the
operator's token.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import NotFound
from ingress.event_stream import event_response
from ingress.json_response import JsonResponse
from ingress.overview import Overview
from ingress.overview_feed import OverviewFeed, OverviewStream
from ingress.static_files import CONTENT_SECURITY_POLICY, static_file

__all__ = ["CONSOLE_FILES", "console_routes"]

CONSOLE_FILES = frozenset(
    {
        "api.js",
        "charts.js",
        "cluster.js",
        "console.css",
        "console.js",
        "conversation.js",
        "conversations.js",
        "dead_letters.js",
        "dom.js",
        "figures.js",
        "icon.svg",
        "overview.js",
        "reasons.js",
        "timeline.js",
    }
)


def console_routes(endpoints: Endpoints, overview: Overview) -> list[Route]:
    """Return the routes."""
    feed = OverviewFeed(overview)

    async def page(_: Call) -> Response:
        response = static_file("console/index.html")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def file(call: Call) -> Response:
        name = call.path_id("name")
        if name not in CONSOLE_FILES:
            raise NotFound("There is no such file")
        response = static_file(f"console/{name}")
        # All are of one release, also right after an upgrade.
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def look(_: Call) -> Response:
        return JsonResponse(await overview.look())

    async def events(_: Call) -> Response:
        feed.check_room()
        stream = OverviewStream()
        return event_response("overview", feed.follow(stream), stream.end)

    base = "/api/v1/admin"
    return [
        endpoints.route("/console", GET=Operation(page, None)),
        endpoints.route("/console/{name:segment}", GET=Operation(file, None)),
        endpoints.route(f"{base}/overview", GET=Operation(look, Scope.ADMIN)),
        endpoints.route(f"{base}/events", GET=Operation(events, Scope.ADMIN)),
    ]
