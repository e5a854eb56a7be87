"""``ingress.stores.Store`` over the functions of ``storage``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from storage import admin, bot_rows, dead_letters, reads
from storage import cleanup as cleaning
from storage.admin import CancelledConversation, CancelledJob, ErasedRows
from storage.bots import DEFAULT_BOT, DEFAULT_BOT_ID, Bot
from storage.dead_letters import DeadLetterPage, RetriedLetter
from storage.postgres import Database
from storage.records import JobStatus
from storage.settings import Settings
from storage.stuck import find_stuck
from storage.views import (
    ConversationDetail,
    ConversationPage,
    ConversationStatistics,
    JobView,
    PostgresStatistics,
    StuckConversation,
)

__all__ = ["DatabaseStore"]


class DatabaseStore:
    """Reads and rare writes, straight over a pool of connections."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._database.fetch_one("select 1")

    async def job(self, job_id: str) -> JobView | None:
        """Return a job."""
        return await reads.find_job(self._database, job_id)

    async def job_statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the states of those of the jobs that are there."""
        return await reads.job_statuses(self._database, job_ids)

    async def find_jobs(self, job_ids: Sequence[str]) -> list[JobView]:
        """Return those of the jobs that are there."""
        return await reads.find_jobs(self._database, job_ids)

    async def cancel_job(self, job_id: str) -> CancelledJob | None:
        """Cancel a job if it can be; return what holds then."""
        return await admin.cancel_job(self._database, job_id)

    async def conversations(
        self,
        limit: int,
        cursor: str | None,
        status: str | None,
        *,
        search: str = "",
        waiting: bool = False,
    ) -> ConversationPage:
        """Return a page, newest first. Raises ``InvalidCursor``."""
        return await reads.list_conversations(
            self._database,
            limit=limit,
            cursor=cursor,
            status=status,
            search=search,
            waiting=waiting,
        )

    async def conversation(self, conversation_id: str) -> ConversationDetail | None:
        """Return everything about a conversation."""
        return await reads.conversation_detail(self._database, conversation_id)

    async def cancel_conversation(self, conversation_id: str) -> CancelledConversation | None:
        """Raise the epoch and cancel the running turn."""
        return await admin.cancel_conversation(self._database, conversation_id)

    async def resume_conversation(self, conversation_id: str) -> CancelledConversation | None:
        """Give a conversation back to the bot."""
        return await admin.resume_conversation(self._database, conversation_id)

    async def erase_conversation(
        self, conversation_id: str
    ) -> tuple[CancelledConversation, ErasedRows] | None:
        """Cancel a conversation and delete all of it."""
        return await admin.erase_conversation(self._database, conversation_id)

    async def conversation_statistics(self) -> ConversationStatistics:
        """Count conversations."""
        return await reads.conversation_statistics(self._database)

    async def postgres_statistics(self) -> PostgresStatistics | None:
        """Return the size and load of the database."""
        return await reads.postgres_statistics(self._database)

    async def stuck_conversations(self) -> list[StuckConversation]:
        """Return what does not get on, by the AI timeout of each bot."""
        return await find_stuck(self._database, self._settings)

    async def unknown_conversations(self, conversation_ids: list[str]) -> list[str]:
        """Return those of the ids that no conversation has."""
        return await reads.unknown_conversations(self._database, conversation_ids)

    async def cleanup(
        self,
        max_age_hours: float,
        *,
        dry_run: bool,
        on_erased: Callable[[list[str]], Awaitable[None]],
    ) -> ErasedRows:
        """Drop conversations idle for longer."""
        return await cleaning.cleanup(
            self._database, max_age_hours, dry_run=dry_run, on_erased=on_erased
        )

    async def dead_letters(
        self, limit: int, cursor: str | None, kind: str | None
    ) -> DeadLetterPage:
        """Return a page, the last given up first. Raises ``InvalidCursor``."""
        return await dead_letters.list_dead_letters(
            self._database, limit=limit, cursor=cursor, kind=kind
        )

    async def retry_dead_letter(self, letter_id: str) -> RetriedLetter | None:
        """Try one again."""
        return await dead_letters.retry_dead_letter(self._database, letter_id)

    def retry_all_dead_letters(self, kind: str | None) -> AsyncIterator[list[RetriedLetter]]:
        """Try all again that were given up until now, and yield them in batches."""
        return dead_letters.retry_all_dead_letters(self._database, kind)

    async def bots(self) -> list[Bot]:
        """Return all bots by their ids, the default one among them."""
        bots = await bot_rows.list_bots(self._database)
        if all(bot.bot_id != DEFAULT_BOT_ID for bot in bots):
            bots = [DEFAULT_BOT, *bots]
        return bots

    async def bot(self, bot_id: str) -> Bot | None:
        """Return a bot."""
        return await bot_rows.get_bot(self._database, bot_id)

    async def put_bot(self, bot: Bot) -> None:
        """Replace a bot, or make it. Raises ``TooManyBots``."""
        await bot_rows.put_bot(self._database, bot)

    async def delete_bot(self, bot_id: str) -> bool:
        """Delete a bot; return whether it was there."""
        return await bot_rows.delete_bot(self._database, bot_id)
