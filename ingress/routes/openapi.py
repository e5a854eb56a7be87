"""The description of the API, and the page that shows it."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import NotFound
from ingress.openapi.document import openapi_document
from ingress.static_files import CONTENT_SECURITY_POLICY, static_file

__all__ = ["openapi_routes"]

_FILES = frozenset(
    {"docs.css", "docs.js", "favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css"}
)


def openapi_routes(endpoints: Endpoints, described: Iterable[Route]) -> list[Route]:
    """Return the routes; they describe themselves too."""
    routes: list[Route] = []
    document: list[bytes] = []

    async def show(_: Call) -> Response:
        if not document:  # made once, when it is first asked for
            document.append(orjson.dumps(openapi_document([*described, *routes])))
        return Response(document[0], media_type="application/json")

    async def page(_: Call) -> Response:
        response = static_file("docs/index.html")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    async def file(call: Call) -> Response:
        name = call.path_id("name")
        if name not in _FILES:
            raise NotFound("There is no such file")
        return static_file(f"docs/{name}")

    routes += [
        endpoints.route("/openapi.json", GET=Operation(show, None)),
        endpoints.route("/docs", GET=Operation(page, None)),
        endpoints.route("/docs/{name:segment}", GET=Operation(file, None)),
    ]
    return routes
