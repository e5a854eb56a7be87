from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from ingress.backend import Backend
from ingress.factory import assemble
from ingress.health import HealthMonitor
from ingress.middleware import RequestMiddleware
from storage.effective_bot import EffectiveBot
from storage.settings import Settings
from tests.unit.ingress.fakes import FakeBots, FakeGateway, FakeRedis, FakeStore

MESSAGES_TOKEN = "messages-token-0123"
ADMIN_TOKEN = "admin-token-0123"
JWT_SECRET = "a secret that is long enough for HS256"
MAX_BODY_BYTES = 200_000
ENHANCED = "/api/v1/enhanced-handle-message"
CHAT = "/api/v1/chat/message"


@dataclass
class World:
    """The application with everything below it faked."""

    app: RequestMiddleware
    client: httpx.AsyncClient
    settings: Settings
    gateway: FakeGateway
    store: FakeStore
    redis: FakeRedis
    bots: FakeBots
    health: HealthMonitor

    async def post(
        self, path: str, body: Any = None, token: str = ADMIN_TOKEN, **options: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self.client.post(path, json=body, headers=headers, **options)

    async def get(self, path: str, token: str = ADMIN_TOKEN, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self.client.get(path, headers=headers, **options)

    def client_with(self, **settings: Any) -> httpx.AsyncClient:
        """A client of the same world under other settings."""
        changed = self.settings.model_copy(update=settings)
        backend = Backend(self.gateway, self.store, self.redis, self.bots, self.health)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(assemble(changed, backend)), base_url="http://test"
        )


@pytest.fixture
async def world(settings: Settings, bot: EffectiveBot) -> AsyncIterator[World]:
    settings = settings.model_copy(
        update={
            "pancake_access_token": SecretStr(MESSAGES_TOKEN),
            "admin_access_token": SecretStr(ADMIN_TOKEN),
            "jwt_secret": SecretStr(JWT_SECRET),
            "max_body_bytes": MAX_BODY_BYTES,
            "response_wait_seconds": 0.05,
            "rate_limit": "off",
        }
    )
    store, redis, bots = FakeStore(), FakeRedis(), FakeBots(bot)
    gateway = FakeGateway(store.jobs)
    health = HealthMonitor(gateway, redis, store.ping)
    await health.check()
    store.calls.clear()
    app = assemble(settings, Backend(gateway, store, redis, bots, health))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield World(app, client, settings, gateway, store, redis, bots, health)


@pytest.fixture
def enhanced_body() -> dict[str, Any]:
    return {
        "conversation_id": "conv_12345",
        "message_id": "msg_67890",
        "message_content": "Tôi muốn đặt lịch khám bệnh",
        "sender_id": "user_123",
        "sender_type": "user",
        "timestamp": 1699123456.789,
        "metadata": {"platform": "web", "user_agent": "Mozilla/5.0..."},
    }
