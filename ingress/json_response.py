"""JSON answers, errors among them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from ingress.errors import ApiError

__all__ = ["JsonResponse", "error_response"]


class JsonResponse(Response):
    """A JSON body. ``orjson.Fragment`` puts text in that is JSON already."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode ``content``; dates as RFC 3339, UUIDs and enums as text."""
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def error_response(error: ApiError, request_id: str) -> JsonResponse:
    """Return the one shape that all errors have."""
    content = {
        "success": False,
        "status": "error",
        "error": error.message,
        "code": error.code,
        "details": [{"field": item.field, "problem": item.problem} for item in error.details],
        "request_id": request_id,
    }
    return JsonResponse(content, status_code=error.status, headers=dict(error.headers))
