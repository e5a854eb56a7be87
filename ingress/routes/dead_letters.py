"""What was given up: the list, and trying it again."""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import NotFound, ValidationFailed
from ingress.json_response import JsonResponse
from ingress.ports import Gateway
from ingress.queries import DeadLettersQuery, RetryQuery
from ingress.stores import DeadLetterStore
from storage.cursors import InvalidCursor
from storage.dead_letters import DeadLetter, RetriedLetter

__all__ = ["dead_letter_routes"]

_UNKNOWN = "There is no such dead letter"


def dead_letter_routes(
    endpoints: Endpoints, store: DeadLetterStore, gateway: Gateway
) -> list[Route]:
    """Return the routes."""

    async def show_all(call: Call) -> Response:
        query = call.query(DeadLettersQuery)
        try:
            page = await store.dead_letters(query.limit, query.cursor or None, query.kind)
        except InvalidCursor as error:
            raise ValidationFailed.of("cursor", str(error)) from None
        return JsonResponse(
            {
                "total_dead_letters": page.total_dead_letters,
                "dead_letters": [_as_item(it) for it in page.dead_letters],
                "next_cursor": page.next_cursor,
            }
        )

    async def retry(call: Call) -> Response:
        retried = await store.retry_dead_letter(call.path_id("letter_id"))
        if retried is None:
            raise NotFound(_UNKNOWN)
        gateway.notify_reopened(retried.conversation_id)
        return JsonResponse(
            {
                "success": True,
                "id": retried.id,
                "kind": retried.kind,
                "job_id": retried.job_id,
                "status": _status(retried),
            }
        )

    async def retry_all(call: Call) -> Response:
        retried = {"message": 0, "delivery": 0}
        async for batch in store.retry_all_dead_letters(call.query(RetryQuery).kind):
            for letter in batch:
                retried[letter.kind] += 1
            for conversation_id in {letter.conversation_id for letter in batch}:
                gateway.notify_reopened(conversation_id)
        counts = {"messages": retried["message"], "deliveries": retried["delivery"]}
        return JsonResponse({"success": True, "retried": counts})

    base = "/api/v1/admin/dead-letters"
    return [
        endpoints.route(base, GET=Operation(show_all, Scope.ADMIN)),
        endpoints.route(f"{base}/retry", POST=Operation(retry_all, Scope.ADMIN)),
        endpoints.route(f"{base}/{{letter_id:segment}}/retry", POST=Operation(retry, Scope.ADMIN)),
    ]


def _as_item(letter: DeadLetter) -> dict[str, object]:
    item = asdict(letter)
    return {"id": item.pop("id"), "kind": item.pop("kind"), "job_id": letter.id, **item}


def _status(retried: RetriedLetter) -> str:
    """What waits now: a job for its turn, or a delivery for its next attempt."""
    return "queued" if retried.kind == "message" else "pending"
