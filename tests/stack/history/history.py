"""The conversations of one test: read, waited for, checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.postgres import Database, DatabaseUnavailable
from tests.stack.history.clients import check_accepted, check_requests
from tests.stack.history.events import Request, Row, Story
from tests.stack.history.outside import check_ai, check_commits, check_deliveries
from tests.stack.history.reader import read_stories
from tests.stack.history.turns import check_turns
from tests.stack.stubs import Stubs

__all__ = ["History"]

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class History:
    """What became of some conversations."""

    stories: dict[str, Story] = field(default_factory=dict)
    settled_after_seconds: float = 0.0
    """How long ``when_over`` waited."""

    @property
    def messages(self) -> dict[str, list[Row]]:
        """The messages of each conversation, as they were accepted."""
        return {name: story.rows for name, story in self.stories.items()}

    @property
    def jobs(self) -> dict[str, list[Row]]:
        """The jobs of each conversation."""
        return {name: list(story.jobs.values()) for name, story in self.stories.items()}

    @classmethod
    async def read(
        cls, database_url: str, stubs: Stubs, conversation_ids: Iterable[str]
    ) -> History:
        """Read it as it is now."""
        database = await Database.connect(database_url, max_connections=1)
        try:
            return cls(await read_stories(database, stubs, sorted(set(conversation_ids))))
        finally:
            await database.close()

    @classmethod
    async def when_over(
        cls,
        database_url: str,
        stubs: Stubs,
        conversation_ids: Iterable[str],
        timeout_seconds: float = 30,
    ) -> History:
        """Read it once nothing waits any more; fail, by (E), when that takes longer."""
        ids = sorted(set(conversation_ids))
        started_at = time.monotonic()
        database = await Database.connect(database_url, max_connections=1)
        try:
            while True:
                pending = ["the database is away"]
                stories: dict[str, Story] = {}
                try:
                    stories = await read_stories(database, stubs, ids)
                    pending = [it for story in stories.values() for it in story.pending()]
                except DatabaseUnavailable:
                    pass  # it is asked again
                elapsed = time.monotonic() - started_at
                if not pending:
                    return cls(stories, elapsed)
                assert elapsed < timeout_seconds, _unsettled(timeout_seconds, pending)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await database.close()

    def pending(self) -> list[str]:
        """Name what is not finished yet."""
        return [it for story in self.stories.values() for it in story.pending()]

    def check(
        self,
        accepted: Mapping[str, Mapping[str, Any]],
        *,
        is_undisturbed: bool,
        requests: Iterable[Request] = (),
        calls_may_overlap: bool = False,
        may_deliver_late: bool = False,
    ) -> None:
        """Check all of it; ``accepted`` are the bodies that got a 200, by message id.

        ``requests``: all that was sent to these conversations, if it is known. After a fault
        (not ``is_undisturbed``) an AI call may be repeated and a delivery may come twice, under its
        same key. ``calls_may_overlap``: a host was stopped for longer than its lease while it
        waited for the AI. ``may_deliver_late``: one was stopped between its last look at the lease
        and the sending.
        """
        check_accepted(self.stories, accepted)
        requests = list(requests)
        if requests:
            check_requests(self.stories, requests)
        for story in self.stories.values():
            try:
                check_commits(story)
                check_turns(story)
                check_ai(story, is_undisturbed=is_undisturbed, calls_may_overlap=calls_may_overlap)
                check_deliveries(
                    story, is_undisturbed=is_undisturbed, may_deliver_late=may_deliver_late
                )
            except AssertionError as error:
                told = f"{story.conversation_id}: {error}\n{story.tell()}"
                raise AssertionError(told) from error


def _unsettled(timeout_seconds: float, pending: list[str]) -> str:
    return f"(E) after {timeout_seconds} s {len(pending)} are not done: {pending[:10]}"
