"""The configuration of bots."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ingress.auth import Scope
from ingress.endpoint import Call, Endpoints, Operation
from ingress.errors import Forbidden, NotFound, ValidationFailed
from ingress.json_response import JsonResponse
from ingress.schemas import validated
from ingress.stores import BotStore
from storage.bot_rows import TooManyBots
from storage.bots import DEFAULT_BOT_ID, Bot

__all__ = ["bot_routes"]

_UNKNOWN = "There is no such bot"


def bot_routes(endpoints: Endpoints, store: BotStore) -> list[Route]:
    """Return the routes."""

    async def show_all(_: Call) -> Response:
        return JsonResponse({"bots": [bot.as_json() for bot in await store.bots()]})

    async def show(call: Call) -> Response:
        bot = await store.bot(call.path_id("bot_id"))
        if bot is None:
            raise NotFound(_UNKNOWN)
        return JsonResponse(bot.as_json())

    async def put(call: Call) -> Response:
        bot_id = call.path_id("bot_id")
        if call.document.get("bot_id", bot_id) != bot_id:
            raise ValidationFailed.of("bot_id", "is not the id in the path")
        bot = validated(Bot, {**call.document, "bot_id": bot_id})
        try:
            await store.put_bot(bot)
        except TooManyBots as error:
            raise ValidationFailed.of("bot_id", str(error)) from None
        return JsonResponse(bot.as_json())

    async def delete(call: Call) -> Response:
        bot_id = call.path_id("bot_id")
        if bot_id == DEFAULT_BOT_ID:
            raise Forbidden("The default bot can be replaced, but not deleted")
        if not await store.delete_bot(bot_id):
            raise NotFound(_UNKNOWN)
        return JsonResponse({"success": True, "bot_id": bot_id})

    base = "/api/v1/admin/bots"
    return [
        endpoints.route(base, GET=Operation(show_all, Scope.ADMIN)),
        endpoints.route(
            f"{base}/{{bot_id:segment}}",
            GET=Operation(show, Scope.ADMIN),
            PUT=Operation(put, Scope.ADMIN, takes_document=True),
            DELETE=Operation(delete, Scope.ADMIN),
        ),
    ]
