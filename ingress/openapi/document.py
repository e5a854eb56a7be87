"""Puts the OpenAPI document together, from the routes and what is said of each."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Operation, operations_of
from ingress.openapi.admin_operations import ADMIN_OPERATIONS
from ingress.openapi.answers import ErrorAnswer
from ingress.openapi.described import Described
from ingress.openapi.operations import CLIENT_OPERATIONS
from ingress.openapi.refusals import refusals_of, shared_responses
from storage.bots import Bot

__all__ = ["OPERATIONS", "openapi_document"]

OPERATIONS = CLIENT_OPERATIONS | ADMIN_OPERATIONS
API_VERSION = "1.0.0"
"""Of what is promised here, and not of the package."""
_REFERENCE = "#/components/schemas/"
_BOT_REQUEST = "BotRequest"
_ABOUT = """\
Answers chat conversations one turn at a time. Bodies are JSON in UTF-8; no text may hold U+0000 or
a lone surrogate, and nothing may be nested deeper than 32. Fields that are not named here are
ignored in requests, and may come at any time in answers.
"""


def openapi_document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of those routes that are described."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation, described in _described(routes):
        item = paths.setdefault(path, {})
        item[method.lower()] = _operation(path, method, operation, described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chat-orchestrator",
            "version": API_VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": shared_responses(),
            "headers": {"X-Request-ID": _REQUEST_ID},
            "securitySchemes": {"token": _TOKEN},
        },
    }


_REQUEST_ID = {
    "description": "That of the request, if it had one, or a new one; it is in every line logged.",
    "schema": {"type": "string"},
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "`PANCAKE_ACCESS_TOKEN` (scope `messages`), `ADMIN_ACCESS_TOKEN` (scope `admin`, which "
        "includes `messages`), or a JSON Web Token with `aud` `chat-orchestrator`, an `exp` and a "
        "`scope`."
    ),
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The message's identity; without it that is conversation and history.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SIGNATURE_HEADERS = [
    {
        "name": name,
        "in": "header",
        "description": f"{text} (Standard Webhooks); needed where `WEBHOOK_SECRET` is set.",
        "schema": {"type": "string"},
    }
    for name, text in (
        ("webhook-id", "The message's identity for its sender, the same in each attempt"),
        ("webhook-timestamp", "Seconds since 1970"),
        ("webhook-signature", "`v1,` and the signature; several with blanks between"),
    )
]


def path_of(route: Route) -> str:
    """Return the path of a route as the document writes it."""
    return route.path_format


def _described(routes: Iterable[Route]) -> Iterator[tuple[str, str, Operation, Described]]:
    for route in routes:
        path = path_of(route)
        for method, operation in operations_of(route).items():
            described = OPERATIONS.get((method, path))
            if described is not None:
                yield path, method, operation, described


def _operation(
    path: str, method: str, operation: Operation, described: Described
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": described.name,
        "tags": [described.tag],
        "summary": described.summary,
        "parameters": _parameters(path, described),
        "responses": _answers(described) | refusals_of(path, method, operation, described),
        "security": [] if operation.scope is None else [{"token": [operation.scope.value]}],
    }
    scope = {Scope.ADMIN: "Scope `admin`.", Scope.MESSAGES: "Scope `messages`."}
    text = [described.text, scope[operation.scope] if operation.scope else "Open to everybody."]
    found["description"] = " ".join(part for part in text if part)
    if described.takes is not None:
        media: dict[str, Any] = {"schema": {"$ref": _REFERENCE + _name_of_request(described.takes)}}
        if described.takes_example is not None:
            media["example"] = described.takes_example
        found["requestBody"] = {"required": True, "content": {"application/json": media}}
    return found


def _parameters(path: str, described: Described) -> list[dict[str, Any]]:
    found = [_path_parameter(part[1:-1]) for part in path.split("/") if part.startswith("{")]
    if described.query is not None:
        schema = described.query.model_json_schema()
        for name, field in schema["properties"].items():
            found.append({"name": name, "in": "query", "schema": _not_null(field)})
    if described.has_idempotency_key:
        found.append(_IDEMPOTENCY_KEY)
    if described.is_signed:
        found += _SIGNATURE_HEADERS
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if name in ("job_id", "letter_id"):
        schema = {"type": "string", "format": "uuid"}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "Percent-encoded; it may hold any character.",
        "schema": schema,
    }


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query field: one that is missing is null for the model alone."""
    found = {key: value for key, value in field.items() if key not in ("title", "anyOf")}
    if found.get("default", 0) is None:
        del found["default"]
    for choice in field.get("anyOf", ()):
        if choice.get("type") != "null":
            found |= choice
    return found


def _answers(described: Described) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": _answer_schema(described)}
    if described.answer_examples is not None:
        media["examples"] = {
            name: {"value": value} for name, value in described.answer_examples.items()
        }
    answer = {
        "description": "Done." if described.answer is None else _first_line(described.answer),
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
        "content": {described.media_type: media},
    }
    if described.leads_to is not None:
        answer["links"] = {name: _link(name, it) for name, it in described.leads_to.items()}
    return {str(status): answer for status in (200, *described.other_answers)}


def _link(name: str, pointer: str) -> dict[str, Any]:
    path = next(path for (_, path), described in OPERATIONS.items() if described.name == name)
    parameter = path[path.index("{") + 1 : path.index("}")]
    return {"operationId": name, "parameters": {parameter: f"$response.body#{pointer}"}}


def _answer_schema(described: Described) -> dict[str, Any]:
    if described.answer is not None:
        return {"$ref": _REFERENCE + described.answer.__name__}
    return {"type": "object" if described.media_type == "application/json" else "string"}


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "Done.").strip().splitlines()[0]


def _name_of_request(model: type[BaseModel]) -> str:
    return _BOT_REQUEST if model is Bot else model.__name__


def _schemas() -> dict[str, Any]:
    models: set[type[BaseModel]] = {ErrorAnswer}
    for described in OPERATIONS.values():
        models |= {it for it in (described.answer, described.takes) if it is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schema = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=_REFERENCE + "{model}"
    )
    schemas: dict[str, Any] = schema["$defs"]
    # Whose bot it is says the path, and the id is its name where it has no other.
    request = copy.deepcopy(schemas["Bot"])
    del request["properties"]["bot_id"], request["required"]
    return dict(sorted((schemas | {_BOT_REQUEST: request | {"title": _BOT_REQUEST}}).items()))
