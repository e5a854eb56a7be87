"""What holds for a bot once all layers are laid over one another.

Weakest first: built-in defaults, the environment, the bot, its overrides for this environment.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from storage.bots import AfterTransfer, Bot, BusyPolicy
from storage.settings import Settings

__all__ = ["EffectiveBot", "effective"]


@dataclass(frozen=True, slots=True)
class EffectiveBot:
    """All that holds for a bot in this environment; made once for each change."""

    bot_id: str
    name: str
    enabled: bool
    busy_policy: BusyPolicy
    debounce_seconds: float
    debounce_max_seconds: float
    context_messages: int
    fallback_message: str | None
    yield_to_agent: bool
    after_transfer: AfterTransfer
    handoff_timeout_seconds: float
    """0: never."""
    ai_url: str | None
    """Full address. None: the built-in simulated AI."""
    ai_timeout_seconds: float
    """For one attempt."""
    ai_max_attempts: int
    ai_description: str
    """JSON object: the bot as the AI service is told about it, encoded once."""
    platform_url: str | None
    """Full address. None: the built-in simulated platform."""


def effective(bot: Bot, environment: str, settings: Settings) -> EffectiveBot:
    """Lay the layers over one another."""
    bot = bot.in_environment(environment)
    core, platform = bot.ai_core, bot.platform
    return EffectiveBot(
        bot_id=bot.bot_id,
        name=bot.name,
        enabled=bot.enabled,
        busy_policy=bot.busy_policy,
        debounce_seconds=bot.debounce_ms / 1000,
        debounce_max_seconds=max(bot.debounce_ms, bot.debounce_max_ms) / 1000,
        context_messages=bot.context_messages,
        fallback_message=bot.fallback_message,
        yield_to_agent=bot.yield_to_agent,
        after_transfer=bot.after_transfer,
        handoff_timeout_seconds=bot.handoff_timeout_minutes * 60,
        ai_url=_join(core.url or settings.ai_service_url, core.path or settings.ai_service_path),
        ai_timeout_seconds=core.timeout_seconds or settings.ai_service_timeout,
        ai_max_attempts=core.max_attempts or settings.ai_max_attempts,
        ai_description=_describe(bot),
        platform_url=_join(
            platform.base_url or settings.pancake_base_url,
            platform.path or settings.pancake_actions_path,
        ),
    )


def _describe(bot: Bot) -> str:
    core = bot.ai_core
    description = {
        "bot_id": bot.bot_id,
        "name": bot.name,
        "model": core.model,
        "system_prompt": core.system_prompt,
        "settings": core.settings,
    }
    return orjson.dumps(description).decode()


def _join(base: str | None, path: str) -> str | None:
    return None if base is None else base.rstrip("/") + path
