"""Puts the application together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ingress.access_reload import AccessReload, watch_access
from ingress.auth import Authenticator
from ingress.backend import Backend, open_backend
from ingress.background_jobs import BackgroundJobManager
from ingress.chat_flow import ChatFlow
from ingress.endpoint import Endpoints
from ingress.enhanced_flow import EnhancedFlow
from ingress.errors import NotFound
from ingress.lifespan import LifespanApplication
from ingress.message_handler import MessageHandler
from ingress.middleware import RequestMiddleware
from ingress.overview import Overview
from ingress.ports import Gateway
from ingress.rate_limit import RateLimit
from ingress.routes.bots import bot_routes
from ingress.routes.console import console_routes
from ingress.routes.conversations import conversation_routes
from ingress.routes.dead_letters import dead_letter_routes
from ingress.routes.health import health_routes
from ingress.routes.jobs import job_routes
from ingress.routes.messages import message_routes
from ingress.routes.metrics import metrics_routes
from ingress.routes.openapi import openapi_routes
from ingress.routes.system import system_routes
from ingress.system_report import SystemReport
from ingress.webhook_signature import WebhookSignatures
from storage.garbage import relax_garbage_collection
from storage.scheduling import work_in_batches
from storage.settings import Settings

__all__ = ["Access", "assemble", "create_app", "open_application"]


def create_app(settings: Settings, gateway: Gateway) -> LifespanApplication:
    """Return the application for an open gateway; it connects the rest when it is started up."""
    return LifespanApplication(lambda: open_application(settings, gateway))


@asynccontextmanager
async def open_application(
    settings: Settings, gateway: Gateway, reload: AccessReload | None = None
) -> AsyncIterator[ASGIApp]:
    """Connect to the database and Redis, and serve as long as the block lasts.

    With ``reload`` tokens that change in their files are taken.
    """
    access = Access(settings)
    async with open_backend(settings, gateway) as backend:
        relax_garbage_collection()
        work_in_batches()
        watch = watch_access(settings, reload, access.renew) if reload else nullcontext()
        async with watch:
            yield assemble(settings, backend, access)


class Access:
    """What callers have to show, of one process. Raises ``ValueError`` for an unusable key."""

    def __init__(self, settings: Settings) -> None:
        self.authenticator = Authenticator(settings)
        self.signatures = WebhookSignatures(settings)

    def renew(self, settings: Settings) -> None:
        """Take other tokens and secrets. Raises ``ValueError``; then all is as before."""
        self.authenticator.renew(settings)
        self.signatures.renew(settings)


def assemble(
    settings: Settings, backend: Backend, access: Access | None = None
) -> RequestMiddleware:
    """Return the application. Raises ``ValueError`` for an unusable ``JWT_PUBLIC_KEY``.

    A router in our middleware, without the two that Starlette's own application puts around it:
    every exception is answered by ours.
    """
    access = access or Access(settings)
    endpoints = Endpoints(
        access.authenticator,
        access.signatures,
        RateLimit(settings.rate_limit),
        settings.max_body_bytes,
    )
    routes = _routes(settings, backend, endpoints)
    return RequestMiddleware(Router(routes, redirect_slashes=False, default=_no_such_path))


def _routes(settings: Settings, backend: Backend, endpoints: Endpoints) -> list[Route]:
    gateway, store, redis, health = backend.gateway, backend.store, backend.redis, backend.health
    jobs = BackgroundJobManager(store, gateway)
    handler = MessageHandler(
        EnhancedFlow(gateway, jobs, settings.response_wait_seconds, lambda: health.storage_backend),
        ChatFlow(gateway, jobs, backend.bots),
        jobs,
    )
    report = SystemReport(store, redis, gateway, health)
    overview = Overview(report, store, gateway, settings.grafana_url)
    routes = [
        *message_routes(endpoints, handler),
        *job_routes(endpoints, handler, jobs),
        *health_routes(endpoints, health, jobs),
        *metrics_routes(endpoints, gateway, is_open=not settings.metrics_auth),
        *conversation_routes(endpoints, store, redis, gateway, health),
        *system_routes(endpoints, report, gateway),
        *dead_letter_routes(endpoints, store, gateway),
        *bot_routes(endpoints, store),
        *console_routes(endpoints, overview),
    ]
    return [*routes, *openapi_routes(endpoints, routes)]


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    raise NotFound("There is no such path")
