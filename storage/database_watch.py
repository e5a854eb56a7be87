"""Whether the database answers: found out in the background, so that nobody has to wait to know."""

from __future__ import annotations

import asyncio

import structlog

from storage.postgres import Database
from storage.tasks import end_task

__all__ = ["DatabaseWatch"]

INTERVAL_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
FAILURES_UNTIL_AWAY = 2

logger = structlog.get_logger()


class DatabaseWatch:
    """Asks the database again and again, over a connection of its own, and knows how it went."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._failures = 0
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether it has not answered several times: who needs it need not even try."""
        return self._failures >= FAILURES_UNTIL_AWAY

    async def answers(self) -> bool:
        """Whether it answered the last time it was asked (the first time is waited for)."""
        self.start()
        await self._asked.wait()
        return self._failures == 0

    def start(self) -> None:
        """Begin to ask, unless that was begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="database-watch")

    async def stop(self) -> None:
        """Stop asking."""
        task, self._task = self._task, None
        if task is not None:
            await end_task(task)

    async def _run(self) -> None:
        database = await Database.connect(
            self._url,
            max_connections=1,
            statement_timeout_seconds=PATIENCE_SECONDS,
            acquire_timeout_seconds=PATIENCE_SECONDS,
            application_name="database-watch",
        )
        try:
            while True:
                await self._ask(database)
                self._asked.set()
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            database.terminate()

    async def _ask(self, database: Database) -> None:
        was_away = self.is_away
        try:
            await database.fetch("select 1")
            self._failures = 0
        except Exception as error:  # whoever answered: the asking must not end, or it stays so
            self._failures += 1
            if self.is_away and not was_away:
                logger.warning("database_away", error=str(error) or type(error).__name__)
        if was_away and not self.is_away:
            logger.info("database_back")
