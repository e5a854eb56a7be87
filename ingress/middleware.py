"""What surrounds every request: its id, its line in the log, and an answer whatever happens."""

from __future__ import annotations

import time
import traceback

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingress.errors import (
    ApiError,
    Busy,
    InternalError,
    NotFound,
    StorageAway,
    ValidationFailed,
)
from ingress.json_response import error_response
from ingress.paths import normalize_path
from ingress.ports import Overloaded, StorageUnavailable
from storage.metrics import HTTP_RESPONSES
from storage.postgres import DatabaseRejected, DatabaseUnavailable
from storage.time_ordered_id import time_ordered_id

__all__ = ["RequestMiddleware", "request_id_of"]

_MAX_REQUEST_ID_CHARACTERS = 128
_CLIENT_CLOSED = 499
_QUIET_PATHS = frozenset({"/health", "/health/live", "/metrics"})

log = structlog.get_logger(__name__)


def request_id_of(scope: Scope) -> str:
    """Return the id the client gave, if it is fit to be shown, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            is_short = 0 < len(text) <= _MAX_REQUEST_ID_CHARACTERS
            if is_short and text.isascii() and text.isprintable():
                return text
            break
    return time_ordered_id()


class RequestMiddleware:
    """Pure ASGI. Puts ``request_id`` and ``arrived_at`` (monotonic seconds) into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        arrived_at = time.monotonic()
        request_id = request_id_of(scope)
        scope["arrived_at"], scope["request_id"] = arrived_at, request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer(send, request_id)
        path = scope["path"]
        try:
            await self._serve(scope, receive, answer)
        finally:
            status = answer.status or _CLIENT_CLOSED
            HTTP_RESPONSES.add(str(status))
            write = log.debug if path in _QUIET_PATHS else log.info
            write(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                caller=_kind_of(scope.get("caller")),
                duration_ms=round((time.monotonic() - arrived_at) * 1000, 1),
            )
            structlog.contextvars.unbind_contextvars("request_id", "conversation_id", "job_id")

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            normalize_path(scope)
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            return
        except ApiError as error:
            await answer.refuse(error, scope, receive)
        except HTTPException as error:
            await answer.refuse(_as_api_error(error), scope, receive)
        except (StorageUnavailable, DatabaseUnavailable):
            await answer.refuse(StorageAway("The database did not answer"), scope, receive)
        except DatabaseRejected:
            refusal = ValidationFailed.of("", "a value cannot be stored or looked for")
            await answer.refuse(refusal, scope, receive)
        except Overloaded:
            await answer.refuse(Busy("Too much work is in flight"), scope, receive)
        except Exception as error:
            # The text of an exception may quote what a client sent; where it rose does not.
            log.error(  # noqa: TRY400 (see above)
                "unexpected_error",
                error=type(error).__name__,
                at=traceback.format_tb(error.__traceback__)[-8:],
            )
            await answer.refuse(InternalError(), scope, receive)


class _Answer:
    """``send``, with the request id put into the headers and the status kept."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.status: int | None = None
        self._send = send
        self._request_id = request_id

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self._request_id.encode("latin-1"))
            message["headers"] = [*message["headers"], own]
        await self._send(message)

    async def refuse(self, error: ApiError, scope: Scope, receive: Receive) -> None:
        if self.status is None:  # else the answer is on its way, and only breaking off is left
            await error_response(error, self._request_id)(scope, receive, self)


def _kind_of(caller: str | None) -> str | None:
    """Return which token a caller has; of a JWT not whose."""
    return caller and caller.partition(":")[0]


def _as_api_error(error: HTTPException) -> ApiError:
    """Translate what the router raises: it knows no path."""
    if error.status_code == NotFound.status:
        return NotFound("There is no such path")
    raise error
