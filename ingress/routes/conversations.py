"""The admin's view of conversations: list, look into, cancel, resume, erase."""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.conversation_json import as_detail, as_item
from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import NotFound, StorageAway, ValidationFailed
from ingress.health import HealthMonitor
from ingress.json_response import JsonResponse
from ingress.ports import Gateway
from ingress.queries import ConversationsQuery
from ingress.stores import ConversationStore, RedisPort
from storage.admin import CancelledConversation, ErasedRows
from storage.reads import InvalidCursor
from storage.redis_lease import LeaseHolder

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
    conversations = _Conversations(store, redis, gateway, health)
    base = "/api/v1/admin/conversations"
    path = f"{base}/{{conversation_id:segment}}"
    return [
        endpoints.route(base, GET=Operation(conversations.show_all, Scope.ADMIN)),
        endpoints.route(
            path,
            GET=Operation(conversations.show, Scope.ADMIN),
            DELETE=Operation(conversations.erase, Scope.ADMIN),
        ),
        endpoints.route(f"{path}/cancel", POST=Operation(conversations.cancel, Scope.ADMIN)),
        endpoints.route(f"{path}/resume", POST=Operation(conversations.resume, Scope.ADMIN)),
    ]


class _Conversations:
    def __init__(
        self,
        store: ConversationStore,
        redis: RedisPort | None,
        gateway: Gateway,
        health: HealthMonitor,
    ) -> None:
        self._store = store
        self._redis = redis
        self._gateway = gateway
        self._health = health

    async def show_all(self, call: Call) -> Response:
        query = call.query(ConversationsQuery)
        try:
            page = await self._store.conversations(
                query.limit,
                query.cursor or None,
                query.status,
                search=query.search,
                waiting=query.waiting,
            )
        except InvalidCursor as error:
            raise ValidationFailed.of("cursor", str(error)) from None
        return JsonResponse(
            {
                "total_conversations": page.total_conversations,
                "conversations": [as_item(it) for it in page.conversations],
                "next_cursor": page.next_cursor,
                "storage_backend": self._health.storage_backend,
            }
        )

    async def show(self, call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        detail = await self._store.conversation(conversation_id)
        if detail is None:
            raise NotFound(_UNKNOWN)
        holder = await self._holder(conversation_id)
        return JsonResponse(
            {**as_detail(detail, holder), "storage_backend": self._health.storage_backend}
        )

    async def cancel(self, call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        # First the epoch, which stops the owner; only then its lease.
        cancelled = await self._store.cancel_conversation(conversation_id)
        if cancelled is None:
            raise NotFound(_UNKNOWN)
        holder = await self._holder(conversation_id)
        was_released = await self._redis.release(conversation_id) if self._redis else False
        self._gateway.notify_reset(conversation_id, holder)
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

    async def resume(self, call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        if await self._store.resume_conversation(conversation_id) is None:
            raise NotFound(_UNKNOWN)
        self._gateway.notify_reset(conversation_id, await self._holder(conversation_id))
        return JsonResponse(
            {"success": True, "conversation_id": conversation_id, "status": "active"}
        )

    async def erase(self, call: Call) -> Response:
        conversation_id = call.path_id("conversation_id")
        cancelled, rows = await self._store.erase_conversation(conversation_id) or (None, None)
        holder = await self._holder(conversation_id) or _by_the_database(cancelled)
        states = await self._forget(conversation_id)
        self._gateway.notify_erased(conversation_id, holder)
        if self._redis is not None and not self._redis.is_connected:
            raise StorageAway("Redis did not answer: erase the conversation again")
        # It may be a second try, after Redis had not answered.
        if cancelled is None and not states:
            raise NotFound(_UNKNOWN)
        return JsonResponse(
            {
                "success": True,
                "conversation_id": conversation_id,
                "cancelled_job_id": cancelled.cancelled_job_id if cancelled else None,
                "removed": {**asdict(rows or ErasedRows()), "redis_states": states},
            }
        )

    async def _holder(self, conversation_id: str) -> LeaseHolder | None:
        return await self._redis.holder(conversation_id) if self._redis else None

    async def _forget(self, conversation_id: str) -> int:
        """Delete what Redis has of a conversation; return how many states that was."""
        if self._redis is None:
            return 0
        await self._redis.release(conversation_id)
        return await self._redis.forget([conversation_id])


def _by_the_database(cancelled: CancelledConversation | None) -> LeaseHolder | None:
    """Return the owner that has no lease in Redis, if there is one."""
    if cancelled is None or cancelled.owner is None or cancelled.cluster is None:
        return None
    return LeaseHolder(cancelled.owner, cancelled.cluster, cancelled.lock_id or "", 0.0)
