"""The errors of each operation, as the document writes them."""

from __future__ import annotations

from typing import Any

from ingress.endpoint import Operation, reads_body
from ingress.openapi.described import Described

__all__ = ["refusals_of", "shared_responses"]

_TEXTS = {
    400: "The body is not JSON, or not an object.",
    401: "No token, or one that is not valid; or a message is to be signed, and is not.",
    403: "The token lacks the scope.",
    404: "There is no such object.",
    405: "This path does not have the method.",
    408: "The body did not arrive in time.",
    413: "The body is longer than `MAX_BODY_BYTES`.",
    415: "The content type is not JSON, or the body is compressed.",
    422: "A field is missing, of the wrong type, or out of bounds; `details` names it.",
    429: "Too many requests for this token.",
    500: "A bug.",
    503: (
        "`overloaded`: nothing was accepted. `storage_unavailable`: not known to be stored; "
        "sending the same again is safe."
    ),
}
_HEADERS: dict[int, tuple[str, dict[str, Any]]] = {
    401: ("WWW-Authenticate", {"type": "string", "const": "Bearer"}),
    405: ("Allow", {"type": "string"}),
    429: ("Retry-After", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", {"type": "integer", "minimum": 1}),
}


def shared_responses() -> dict[str, Any]:
    """Return the components that the operations refer to."""
    return {f"Error{status}": _response(status, text) for status, text in _TEXTS.items()}


def refusals_of(
    path: str, method: str, operation: Operation, described: Described
) -> dict[str, Any]:
    """Return the refusals that an operation can meet with."""
    statuses = {405, 500}
    if operation.scope is not None:
        statuses |= {401, 403, 429, 503}
    if "{" in path:
        statuses |= {404}
    if described.query is not None:
        statuses |= {422}
    if reads_body(method):
        statuses |= {408, 413, 415}
    if operation.takes_document:
        statuses |= {400, 422}
    statuses -= set(described.other_answers)
    return {
        str(status): {"$ref": f"#/components/responses/Error{status}"}
        for status in sorted(statuses)
    }


def _response(status: int, text: str) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if status in _HEADERS:
        name, schema = _HEADERS[status]
        headers[name] = {"required": True, "schema": schema}
    return {
        "description": text,
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
    }
