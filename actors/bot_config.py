"""What holds for each bot, at hand without waiting for the database."""

from __future__ import annotations

import asyncio
from collections.abc import Container

import structlog

from storage.bot_rows import bots_of, read_bot_rows
from storage.bots import DEFAULT_BOT, DEFAULT_BOT_ID, Bot
from storage.effective_bot import EffectiveBot, effective
from storage.postgres import Database, DatabaseRejected, DatabaseUnavailable, Row
from storage.settings import Settings
from storage.tasks import end_task

__all__ = ["BotConfigService"]

POLL_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 5.0
MAX_UNKNOWN_IDS = 1000
"""Unknown ids remembered, so that each is logged once; then all are forgotten."""

log = structlog.get_logger()


class BotConfigService:
    """Keeps the bots of the database in memory and reads them again every ``POLL_SECONDS``.

    While the database is away the last known configuration serves, else the default one.
    """

    def __init__(
        self, database: Database, settings: Settings, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._database = database
        self._settings = settings
        self._poll_seconds = poll_seconds
        self._rows: list[Row] | None = None
        self._bots: dict[str, EffectiveBot] = {}
        self._unknown: set[str] = set()
        self._is_current = True
        self._task: asyncio.Task[None] | None = None
        self._apply([])

    async def start(self) -> None:
        """Read once (for at most ``READ_TIMEOUT_SECONDS``), then go on reading."""
        if self._task is None:
            await self.refresh()
            self._task = asyncio.create_task(self._poll(), name="bot-config")

    async def stop(self) -> None:
        """Stop reading; what is known stays."""
        task, self._task = self._task, None
        if task is not None:
            await end_task(task)

    def get(self, bot_id: str) -> EffectiveBot:
        """Return what holds for a bot; for an unknown one what holds for the default bot."""
        bot = self._bots.get(bot_id)
        if bot is not None:
            return bot
        self._note_unknown(bot_id)
        return self._bots[DEFAULT_BOT_ID]

    def asking(self, addresses: Container[str]) -> dict[str, str]:
        """Return the bots whose AI is at one of the addresses, and which."""
        return {
            bot_id: bot.ai_url
            for bot_id, bot in self._bots.items()
            if bot.ai_url is not None and bot.ai_url in addresses
        }

    @property
    def default(self) -> EffectiveBot:
        """What holds for the default bot."""
        return self._bots[DEFAULT_BOT_ID]

    @property
    def max_context_messages(self) -> int:
        """The largest ``context_messages`` of all bots."""
        return self._max_context_messages

    async def refresh(self) -> bool:
        """Read now; return whether the database answered."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                rows = await read_bot_rows(self._database)
        except (DatabaseUnavailable, DatabaseRejected, TimeoutError) as error:
            if self._is_current:
                log.warning("bot_config_not_read", error=type(error).__name__)
            self._is_current = False
            return False
        if rows != self._rows:
            self._apply(bots_of(rows))
            self._rows = rows
            log.info("bot_config_applied", stored_bots=len(rows))
        self._is_current = True
        return True

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.refresh()
            except Exception:  # whatever it is, the next change must not be missed for it
                log.exception("bot_config_poll_failed")

    def _apply(self, bots: list[Bot]) -> None:
        environment = self._settings.environment
        self._bots = {
            bot.bot_id: effective(bot, environment, self._settings) for bot in (DEFAULT_BOT, *bots)
        }
        self._max_context_messages = max(bot.context_messages for bot in self._bots.values())
        self._unknown.clear()

    def _note_unknown(self, bot_id: str) -> None:
        if bot_id in self._unknown:
            return
        if len(self._unknown) >= MAX_UNKNOWN_IDS:
            self._unknown.clear()
        self._unknown.add(bot_id)
        log.warning("unknown_bot", bot_id=bot_id[:255], used=DEFAULT_BOT_ID)
