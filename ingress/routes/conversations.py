"""The admin's view of conversations: list, look into, cancel, resume."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.conversation_json import as_detail, as_item
from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import NotFound, ValidationFailed
from ingress.health import HealthMonitor
from ingress.json_response import JsonResponse
from ingress.ports import Gateway
from ingress.queries import ConversationsQuery
from ingress.stores import ConversationStore, RedisPort
from storage.reads import InvalidCursor

__all__ = ["conversation_routes"]

_UNKNOWN = "There is no such conversation"


def conversation_routes(
    endpoints: Endpoints,
    store: ConversationStore,
    redis: RedisPort | None,
    gateway: Gateway,
    health: HealthMonitor,
) -> list[Route]:
    """Return the routes."""

    async def show_all(call: Call) -> Response:
        query = call.query(ConversationsQuery)
        try:
            page = await store.conversations(query.limit, query.cursor or None, query.status)
        except InvalidCursor as error:
            raise ValidationFailed.of("cursor", str(error)) from None
        return JsonResponse(
            {
                "total_conversations": page.total_conversations,
                "conversations": [as_item(it) for it in page.conversations],
                "next_cursor": page.next_cursor,
                "storage_backend": health.storage_backend,
            }
        )

    async def show(call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        detail = await store.conversation(conversation_id)
        if detail is None:
            raise NotFound(_UNKNOWN)
        holder = await redis.holder(conversation_id) if redis else None
        return JsonResponse(
            {**as_detail(detail, holder), "storage_backend": health.storage_backend}
        )

    async def cancel(call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        # First the epoch, which stops the owner; only then its lease.
        cancelled = await store.cancel_conversation(conversation_id)
        if cancelled is None:
            raise NotFound(_UNKNOWN)
        holder = await redis.holder(conversation_id) if redis else None
        was_released = await redis.release(conversation_id) if redis else False
        gateway.notify_reset(conversation_id, holder)
        # An owner keeps its lease for a while after its work: that locks nothing.
        is_spare = cancelled.was_idle and (holder is None or holder.lock_id == cancelled.lock_id)
        return JsonResponse(
            {
                "success": True,
                "conversation_id": conversation_id,
                "cancelled_job_id": cancelled.cancelled_job_id,
                "lock_released": (was_released or cancelled.owner is not None) and not is_spare,
            }
        )

    async def resume(call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        if await store.resume_conversation(conversation_id) is None:
            raise NotFound(_UNKNOWN)
        holder = await redis.holder(conversation_id) if redis else None
        gateway.notify_reset(conversation_id, holder)
        return JsonResponse(
            {"success": True, "conversation_id": conversation_id, "status": "active"}
        )

    base = "/api/v1/admin/conversations"
    path = f"{base}/{{conversation_id:segment}}"
    return [
        endpoints.route(base, GET=Operation(show_all, Scope.ADMIN)),
        endpoints.route(path, GET=Operation(show, Scope.ADMIN)),
        endpoints.route(f"{path}/cancel", POST=Operation(cancel, Scope.ADMIN)),
        endpoints.route(f"{path}/resume", POST=Operation(resume, Scope.ADMIN)),
    ]
