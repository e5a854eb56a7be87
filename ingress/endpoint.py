"""From a matched path to its handler: every check in the same order for every endpoint.

Method, credentials, rate limit, content type, length, signature, JSON; then the handler validates.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ingress.audit import AuditEntry, audited
from ingress.auth import Authenticator, Scope
from ingress.body import BodyMemory, read_body
from ingress.errors import MethodNotAllowed, NotFound, Problem, ValidationFailed
from ingress.rate_limit import RateLimit
from ingress.schemas import validated
from ingress.strict_json import parse_object, text_problem
from ingress.webhook_signature import WebhookSignatures

__all__ = ["Call", "Endpoints", "Handler", "Operation", "is_audited", "operations_of", "reads_body"]

_MAX_QUERY_FIELDS = 50
MAX_BODIES_BYTES = 134_217_728
"""Of all requests under way together, until they are answered."""
QueryType = TypeVar("QueryType", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One request that has passed all checks."""

    path_parameters: Mapping[str, str]
    headers: Headers
    query_string: bytes
    document: dict[str, Any]
    """The body; empty where the operation takes none."""
    arrived_at: float
    """On ``time.monotonic()``."""
    webhook_id: str | None = None
    """Of a request that had to be signed, and was."""
    audit: AuditEntry | None = None
    """What is written of it, where that is done."""

    def path_id(self, name: str) -> str:
        """Return an id from the path. Raises ``NotFound`` where no object can have it."""
        value = self.path_parameters[name]
        if text_problem(value):
            raise NotFound("There is no such object")
        return value

    def query(self, model: type[QueryType]) -> QueryType:
        """Return the query's fields, validated. Raises ``ValidationFailed``."""
        found = validated(model, self._query_fields)
        if self.audit is not None:
            self.audit.query = found.model_dump()
        return found

    @cached_property
    def _query_fields(self) -> dict[str, Any]:
        try:
            text = self.query_string.decode("ascii")
            pairs = parse_qsl(
                text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
            )
        except ValueError:
            raise ValidationFailed.of("", "the query is not valid") from None
        problems = [
            Problem(name.replace("\0", "\\u0000"), problem)
            for name, value in pairs
            if (problem := text_problem(name + value))
        ]
        if problems:
            raise ValidationFailed(problems)
        return dict(pairs)


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    handler: Handler
    scope: Scope | None
    """None: open to everybody."""
    takes_document: bool = False
    is_signed: bool = False
    """Whether it needs a signature where there is a secret for them."""


class Endpoints:
    """Makes routes whose operations share the checks."""

    def __init__(
        self,
        authenticator: Authenticator,
        signatures: WebhookSignatures,
        rate_limit: RateLimit,
        max_body_bytes: int,
    ) -> None:
        self._authenticator = authenticator
        self._signatures = signatures
        self._rate_limit = rate_limit
        self._max_body_bytes = max_body_bytes
        self._bodies = BodyMemory(MAX_BODIES_BYTES)

    def route(self, path: str, **operations: Operation) -> Route:
        """Return the route of a path; the operations are named by their methods."""
        return Route(path, _Endpoint(self, path, operations), name=path)

    async def call(
        self, operation: Operation, path: str, scope: AsgiScope, receive: Receive
    ) -> Response:
        """Do all checks, then call the handler. Actions of administrators are written down."""
        if not is_audited(scope["method"], operation):
            return await self._call(operation, scope, receive, None)
        entry = AuditEntry(f"{scope['method']} {path}", scope["path_params"])
        with audited(entry):
            return await self._call(operation, scope, receive, entry)

    async def _call(
        self, operation: Operation, scope: AsgiScope, receive: Receive, audit: AuditEntry | None
    ) -> Response:
        headers = Headers(scope=scope)
        if operation.scope is not None:
            self._admit(scope, operation.scope, audit)
        with self._bodies.share(is_unlimited=operation.scope is not Scope.MESSAGES) as share:
            document: dict[str, Any] = {}
            webhook_id: str | None = None
            if reads_body(scope["method"]):
                body = await read_body(headers, receive, self._max_body_bytes, share)
                if operation.is_signed and self._signatures.are_needed:
                    webhook_id = self._signatures.check(headers, body)
                if operation.takes_document:
                    document = parse_object(body)
            call = Call(
                path_parameters=scope["path_params"],
                headers=headers,
                query_string=scope["query_string"],
                document=document,
                arrived_at=scope.get("arrived_at") or time.monotonic(),
                webhook_id=webhook_id,
                audit=audit,
            )
            return await operation.handler(call)

    def _admit(self, scope: AsgiScope, required: Scope, audit: AuditEntry | None) -> None:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        principal = self._authenticator.authenticate(header)
        scope["caller"] = principal.name
        if audit is not None:
            audit.who = principal.name
        principal.require(required)
        self._rate_limit.check(principal.key)


def is_audited(method: str, operation: Operation) -> bool:
    """Whether it changes something in an administrator's name."""
    return operation.scope is Scope.ADMIN and method not in ("GET", "HEAD")


def reads_body(method: str) -> bool:
    """Whether what comes with a request of this method is looked at."""
    return method not in ("GET", "HEAD", "DELETE")


def operations_of(route: Route) -> dict[str, Operation]:
    """Return the operations of a route that ``Endpoints`` made, by their methods."""
    endpoint = route.endpoint
    if not isinstance(endpoint, _Endpoint):
        return {}
    return {name: it for name, it in endpoint.operations.items() if name != "HEAD"}


class _Endpoint:
    """All operations of a path, as an ASGI application."""

    def __init__(
        self, endpoints: Endpoints, path: str, operations: Mapping[str, Operation]
    ) -> None:
        self._path = path.replace(":segment}", "}")
        self.operations = dict(operations)
        if "GET" in self.operations:
            self.operations["HEAD"] = self.operations["GET"]
        self._endpoints = endpoints

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        operation = self.operations.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(sorted(self.operations))
        response = await self._endpoints.call(operation, self._path, scope, receive)
        await response(scope, receive, send)
