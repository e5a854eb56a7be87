"""The AI and the platform of each bot: over HTTP where it has an address, else simulated."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from actors.ai import Ai, AiAnswer, AiCall, AiClient
from actors.bulkhead import Bulkheads, origin_of
from actors.platform import DeliveryAttempt, PlatformClient, PlatformPort
from actors.simulated import SimulatedAi, SimulatedPlatform
from storage.effective_bot import EffectiveBot
from storage.settings import Settings

__all__ = ["Services"]


class Services:
    """Everything outside that a turn needs, each address behind a bulkhead of its own."""

    def __init__(self, settings: Settings) -> None:
        token = settings.pancake_api_token
        self._ai = AiClient(max_concurrency=settings.ai_max_concurrency)
        self._platform = PlatformClient(token.get_secret_value() if token else None)
        self._platforms = Bulkheads(settings.delivery_max_concurrency)
        self._simulated_ai = SimulatedAi(settings.simulated_ai_seconds)
        self.simulated_platform = SimulatedPlatform()

    async def answer(self, call: AiCall) -> AiAnswer:
        """Ask the bot's AI. Raises ``AiFailed``; cancelling it abandons the call."""
        ai: Ai = self._simulated_ai if call.bot.ai_url is None else self._ai
        return await ai.answer(call)

    def platform_slot(self, bot: EffectiveBot) -> AbstractAsyncContextManager[None]:
        """Wait until one more delivery to the bot's platform may be tried, and hold that place.

        All paths of one server are one platform.
        """
        if bot.platform_url is None:
            return nullcontext()
        return self._platforms.slot(origin_of(bot.platform_url))

    async def deliver(self, job_id: str, body: str, bot: EffectiveBot) -> DeliveryAttempt:
        """Try once to deliver to the bot's platform."""
        platform: PlatformPort = (
            self.simulated_platform if bot.platform_url is None else self._platform
        )
        return await platform.deliver(job_id, body, bot)

    def crowded_ais(self, least: int) -> dict[str, int]:
        """Return the addresses of AIs that at least so many use or wait for, with the numbers."""
        return self._ai.crowded(least)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._ai.aclose()
        await self._platform.aclose()
