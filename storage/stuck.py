"""Conversations that do not get on, by what each bot allows its AI."""

from __future__ import annotations

from storage import bot_rows, reads
from storage.bots import DEFAULT_BOT_ID
from storage.effective_bot import effective
from storage.postgres import Database
from storage.settings import Settings
from storage.views import StuckConversation

__all__ = ["find_stuck"]


async def find_stuck(database: Database, settings: Settings) -> list[StuckConversation]:
    """Return them, the longest stuck first. See ``reads.stuck_conversations``."""
    timeouts = {
        bot.bot_id: effective(bot, settings.environment, settings).ai_timeout_seconds
        for bot in await bot_rows.list_bots(database)
    }
    return await reads.stuck_conversations(
        database,
        ai_timeout_seconds=timeouts.get(DEFAULT_BOT_ID, settings.ai_service_timeout),
        ai_timeouts_by_bot=timeouts,
    )
