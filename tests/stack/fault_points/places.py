"""Where the points are in the product's code. What is renamed there must be renamed here.

=============================  ====================================================================
``ingress.before_accept``      a message is about to be stored
``ingress.after_accept``       it is stored, and neither routed nor answered
``writer.before_KIND``         a batch was taken and nothing of it sent to the database
``writer.after_KIND``          it is committed, and nobody told (``KIND``: see ``OperationKind``)
``host.before_receive``        a host was told of a message and has not looked at it
``claim.before_send``          a host is about to claim a conversation
``claim.after_answer``         it knows what became of that, and has done nothing yet
``turn.before_start``          a turn's messages are about to be marked
``turn.before_ai``             the AI is about to be asked (may be armed for a message's text too)
``turn.before_commit``         the lease was looked at, and the commit is not sent
``turn.after_commit``          the host knows that it is committed, and has told nobody
``delivery.before_count``      an attempt is about to be counted
``delivery.before_check``      an attempt is counted; the lease was not looked at since
``delivery.before_send``       the lease was looked at, and nothing is sent
``delivery.after_send``        the platform has answered, and that is not written down
=============================  ====================================================================
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from types import ModuleType
from typing import Any

from tests.stack.fault_points.points import reach

__all__ = ["PLACES", "POINTS"]

_Ids = Callable[[Mapping[str, Any]], list[str]]
_Method = Callable[..., Awaitable[Any]]

_KINDS = (
    "accept",
    "claim",
    "start_turn",
    "commit_turn",
    "settle",
    "start_delivery",
    "record_delivery",
    "renew",
)
_WRITES = {
    "TurnStart": ("turn.before_start", None),
    "TurnCommit": ("turn.before_commit", "turn.after_commit"),
    "DeliveryStart": ("delivery.before_count", None),
    "ClaimRequest": ("claim.before_send", "claim.after_answer"),
}
POINTS = {
    "ingress.before_accept",
    "ingress.after_accept",
    "host.before_receive",
    "turn.before_ai",
    "delivery.before_check",
    "delivery.before_send",
    "delivery.after_send",
    *(f"writer.{moment}_{kind}" for moment in ("before", "after") for kind in _KINDS),
    *(point for points in _WRITES.values() for point in points if point is not None),
}


def _around(before: str | None, after: str | None, ids: _Ids) -> Callable[[_Method], _Method]:
    """Wrap a coroutine function; ``ids`` gets its arguments by name: whom a call is about."""

    def wrap(method: _Method) -> _Method:
        signature = inspect.signature(method)

        @wraps(method)
        async def wrapped(*arguments: Any, **named: Any) -> Any:
            about = ids(signature.bind(*arguments, **named).arguments)
            if before is not None:
                reach(before, about)
            result = await method(*arguments, **named)
            if after is not None:
                reach(after, about)
            return result

        return wrapped

    return wrap


def _patch(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrap(getattr(owner, name)))


def _around_write(write: _Method) -> _Method:
    @wraps(write)
    async def wrapped(writer: Any, operation: Any, *arguments: Any, **named: Any) -> Any:
        before, after = _WRITES.get(type(operation).__name__, (None, None))
        ids = [operation.conversation_id]
        if before is not None:
            reach(before, ids)
        result = await write(writer, operation, *arguments, **named)
        if after is not None:
            reach(after, ids)
        return result

    return wrapped


def _around_batch(write_once: _Method) -> _Method:
    @wraps(write_once)
    async def wrapped(self: Any, kind: Any, items: list[Any], **named: Any) -> Any:
        ids = [item.conversation_id for item in items]
        reach(f"writer.before_{kind.value}", ids)
        result = await write_once(self, kind, items, **named)
        reach(f"writer.after_{kind.value}", ids)
        return result

    return wrapped


def _around_take(take: Callable[..., None]) -> Callable[..., None]:
    @wraps(take)
    def wrapped(self: Any, runner: Any, envelope: Any) -> None:
        reach("host.before_receive", [envelope.conversation_id])
        take(self, runner, envelope)

    return wrapped


def _of_seat(arguments: Mapping[str, Any]) -> list[str]:
    return [arguments["seat"].conversation_id]


def _of_message(arguments: Mapping[str, Any]) -> list[str]:
    return [arguments["message"].conversation_id]


def _of_body(arguments: Mapping[str, Any]) -> list[str]:
    return [json.loads(arguments["body"])["conversation_id"]]


def _gateway(module: ModuleType) -> None:
    points = ("ingress.before_accept", "ingress.after_accept")
    _patch(module.Gateway, "accept", _around(*points, _of_message))


def _of_call(arguments: Mapping[str, Any]) -> list[str]:
    return [*_of_seat(arguments), *(it.content for it in arguments["effect"].messages)]


def _turn_work(module: ModuleType) -> None:
    _patch(module.TurnWork, "call_ai", _around("turn.before_ai", None, _of_call))
    _patch(module, "write", _around_write)


def _delivery_work(module: ModuleType) -> None:
    _patch(module.DeliveryWork, "deliver", _around("delivery.before_check", None, _of_seat))
    _patch(module, "write", _around_write)


def _services(module: ModuleType) -> None:
    points = ("delivery.before_send", "delivery.after_send")
    _patch(module.Services, "deliver", _around(*points, _of_body))


PLACES: dict[str, Callable[[ModuleType], None]] = {
    "actors.activation": lambda module: _patch(module, "write", _around_write),
    "actors.delivery_work": _delivery_work,
    "actors.gateway": _gateway,
    "actors.host": lambda module: _patch(module.ConversationHost, "_take", _around_take),
    "actors.services": _services,
    "actors.turn_work": _turn_work,
    "storage.writer": lambda module: _patch(module.StorageWriter, "_write_once", _around_batch),
}
