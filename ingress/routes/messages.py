"""The two ways to hand in a message."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.incoming import check_idempotency_key
from ingress.json_response import JsonResponse
from ingress.message_handler import MessageHandler
from ingress.schemas import EnhancedMessageRequest, PancakeMessageRequest, validated

__all__ = ["message_routes"]


def message_routes(endpoints: Endpoints, handler: MessageHandler) -> list[Route]:
    """Return the routes."""

    async def enhanced(call: Call) -> Response:
        request = validated(EnhancedMessageRequest, call.document)
        answer = await handler.handle_message_request(request, arrived_at=call.arrived_at)
        return JsonResponse(answer)

    async def chat(call: Call) -> Response:
        request = validated(PancakeMessageRequest, call.document)
        header = call.headers.get("idempotency-key")
        key = check_idempotency_key(None if header is None else header.encode("latin-1"))
        # What was signed counts: with a header that was not, somebody could send it once more.
        key = call.webhook_id or key
        answer = await handler.handle_message_request(
            request, arrived_at=call.arrived_at, idempotency_key=key
        )
        return JsonResponse(answer)

    return [
        endpoints.route(
            "/api/v1/enhanced-handle-message",
            POST=Operation(enhanced, Scope.MESSAGES, takes_document=True, is_signed=True),
        ),
        endpoints.route(
            "/api/v1/chat/message",
            POST=Operation(chat, Scope.MESSAGES, takes_document=True, is_signed=True),
        ),
    ]
