"""What the routes need from the database and Redis, as protocols, so that they can be tested alone.

Whatever asks the database raises ``DatabaseUnavailable`` while it is away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from storage.admin import CancelledConversation, CancelledJob, ErasedRows
from storage.bots import Bot
from storage.dead_letters import DeadLetterPage, RetriedLetter
from storage.effective_bot import EffectiveBot
from storage.records import JobStatus
from storage.redis_lease import LeaseHolder
from storage.views import (
    ConversationDetail,
    ConversationPage,
    ConversationStatistics,
    JobView,
    PostgresStatistics,
    StuckConversation,
)

__all__ = [
    "BotConfig",
    "BotStore",
    "ConversationStore",
    "DeadLetterStore",
    "JobStore",
    "RedisPort",
    "Store",
    "SystemStore",
]


class JobStore(Protocol):
    """Jobs in the database."""

    async def job(self, job_id: str) -> JobView | None:
        """Return a job (``job_id`` is a UUID's text)."""
        ...

    async def job_statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the states of those of the jobs that are there."""
        ...

    async def find_jobs(self, job_ids: Sequence[str]) -> list[JobView]:
        """Return those of the jobs that are there, in any order."""
        ...

    async def cancel_job(self, job_id: str) -> CancelledJob | None:
        """Cancel a job if it can be (compare-and-set); return what holds then."""
        ...


class ConversationStore(Protocol):
    """Conversations in the database."""

    async def conversations(
        self,
        limit: int,
        cursor: str | None,
        status: str | None,
        *,
        search: str = "",
        waiting: bool = False,
    ) -> ConversationPage:
        """Return a page, newest first; see ``storage.reads.list_conversations``."""
        ...

    async def conversation(self, conversation_id: str) -> ConversationDetail | None:
        """Return everything about a conversation."""
        ...

    async def cancel_conversation(self, conversation_id: str) -> CancelledConversation | None:
        """Raise the epoch and cancel the running turn; None: there is no such conversation."""
        ...

    async def resume_conversation(self, conversation_id: str) -> CancelledConversation | None:
        """Give it back to the bot; None: there is no such conversation."""
        ...

    async def erase_conversation(
        self, conversation_id: str
    ) -> tuple[CancelledConversation, ErasedRows] | None:
        """Cancel it and delete all of it; None: there is no such conversation."""
        ...


class SystemStore(Protocol):
    """The database as a whole."""

    async def ping(self) -> None:
        """Return if the database answers."""
        ...

    async def conversation_statistics(self) -> ConversationStatistics:
        """Count conversations."""
        ...

    async def postgres_statistics(self) -> PostgresStatistics | None:
        """Return the size and load of the database."""
        ...

    async def stuck_conversations(self) -> list[StuckConversation]:
        """Return what does not get on."""
        ...

    async def unknown_conversations(self, conversation_ids: list[str]) -> list[str]:
        """Return those of the ids that no conversation has."""
        ...

    async def cleanup(
        self,
        max_age_hours: float,
        *,
        dry_run: bool,
        on_erased: Callable[[list[str]], Awaitable[None]],
    ) -> ErasedRows:
        """Drop conversations idle for longer; see ``storage.cleanup``."""
        ...


class DeadLetterStore(Protocol):
    """What was given up."""

    async def dead_letters(
        self, limit: int, cursor: str | None, kind: str | None
    ) -> DeadLetterPage:
        """Return a page, the last given up first. Raises ``storage.cursors.InvalidCursor``."""
        ...

    async def retry_dead_letter(self, letter_id: str) -> RetriedLetter | None:
        """Try one again (compare-and-set); None: there is no such dead letter (any more)."""
        ...

    def retry_all_dead_letters(self, kind: str | None) -> AsyncIterator[list[RetriedLetter]]:
        """Try all again that were given up until now, and yield them in batches."""
        ...


class BotStore(Protocol):
    """Bots in the database."""

    async def bots(self) -> list[Bot]:
        """Return all bots, the default one among them."""
        ...

    async def bot(self, bot_id: str) -> Bot | None:
        """Return a bot."""
        ...

    async def put_bot(self, bot: Bot) -> None:
        """Replace a bot, or make it. Raises ``storage.bot_rows.TooManyBots``."""
        ...

    async def delete_bot(self, bot_id: str) -> bool:
        """Delete a bot; return whether it was there."""
        ...


class Store(JobStore, ConversationStore, SystemStore, DeadLetterStore, BotStore, Protocol):
    """All of it."""


class BotConfig(Protocol):
    """What holds for each bot, at hand without waiting."""

    def get(self, bot_id: str) -> EffectiveBot:
        """Return what holds for a bot; for an unknown one what holds for the default bot."""
        ...


class RedisPort(Protocol):
    """Redis, as the routes need it. Nothing here raises while it is away."""

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        ...

    async def ping(self) -> bool:
        """Ask now."""
        ...

    async def holder(self, conversation_id: str) -> LeaseHolder | None:
        """Who holds a conversation's lease."""
        ...

    async def release(self, conversation_id: str) -> bool:
        """Delete a lease, whoever holds it; return whether there was one."""
        ...

    async def forget(self, conversation_ids: Sequence[str]) -> int:
        """Delete states; return how many there were."""
        ...

    def leased(self) -> AsyncIterator[list[str]]:
        """Yield the ids of conversations that are leased, in pages."""
        ...

    async def release_many(self, conversation_ids: Sequence[str]) -> int:
        """Delete leases, whoever holds them; return how many there were."""
        ...

    async def statistics(self) -> dict[str, object] | None:
        """What operators see of Redis; None while it is away."""
        ...
