"""Every way in which a request can be refused: one class a row of the API's error table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ApiError",
    "BodyTooLarge",
    "Busy",
    "Forbidden",
    "InternalError",
    "InvalidJson",
    "InvalidSignature",
    "MethodNotAllowed",
    "NotFound",
    "Problem",
    "RateLimited",
    "RequestTimeout",
    "StorageAway",
    "Unauthorized",
    "UnsupportedMediaType",
    "ValidationFailed",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field (a dotted path; empty for the whole body)."""

    field: str
    problem: str


class ApiError(Exception):
    """Base of all refusals. ``message`` is for a person; it never quotes message contents."""

    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[Problem] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.headers = tuple(headers)


class InvalidJson(ApiError):
    """The body is not JSON, or not an object."""

    status = 400
    code = "invalid_json"


class ValidationFailed(ApiError):
    """Fields are missing, of the wrong type or out of bounds."""

    status = 422
    code = "validation_error"

    def __init__(self, details: Sequence[Problem]) -> None:
        first = details[0]
        where = f"{first.field}: " if first.field else ""
        super().__init__(f"Invalid request: {where}{first.problem}", details=details)

    @classmethod
    def of(cls, field: str, problem: str) -> ValidationFailed:
        """Refuse a request for one field."""
        return cls([Problem(field, problem)])


class BodyTooLarge(ApiError):
    """The body is longer than ``MAX_BODY_BYTES``, as declared or as it came."""

    status = 413
    code = "body_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body must not be longer than {max_bytes} bytes")


class UnsupportedMediaType(ApiError):
    """The content type is not JSON."""

    status = 415
    code = "unsupported_media_type"


class Unauthorized(ApiError):
    """No credentials, or bad ones."""

    status = 401
    code = "unauthorized"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=[("WWW-Authenticate", "Bearer")])


class InvalidSignature(Unauthorized):
    """The webhook is not signed, not by one who has the secret, or not in these minutes."""

    code = "invalid_signature"


class Forbidden(ApiError):
    """Good credentials without the scope."""

    status = 403
    code = "forbidden"


class NotFound(ApiError):
    """There is no such path or object."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ApiError):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"This path allows {names}", headers=[("Allow", names)])


class RequestTimeout(ApiError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class _TryAgainLater(ApiError):
    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__(message, headers=[("Retry-After", str(seconds))])


class RateLimited(_TryAgainLater):
    """The token has used up its requests for now."""

    status = 429
    code = "rate_limited"


class StorageAway(_TryAgainLater):
    """The database did not answer; sending the same message id again is safe."""

    status = 503
    code = "storage_unavailable"


class Busy(_TryAgainLater):
    """Too much work is in flight; nothing was accepted."""

    status = 503
    code = "overloaded"


class InternalError(ApiError):
    """A bug. The log has the rest, under the request id."""

    def __init__(self) -> None:
        super().__init__("Internal error")
