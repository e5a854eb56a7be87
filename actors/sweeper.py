"""Finds work that nobody is doing and routes it again; that is how work survives any crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from actors.codec import Envelope, EnvelopeKind
from actors.envelopes import erased
from actors.host_link import HostLink
from actors.ports import Directory
from actors.router import RoutingTable
from storage.cleanup import cleanup
from storage.metrics import STUCK_CONVERSATIONS, SWEEPS, SWEPT_CONVERSATIONS
from storage.postgres import Database, DatabaseRejected, DatabaseUnavailable
from storage.reads import next_pokes, pending_pokes
from storage.records import PendingPoke
from storage.settings import Settings
from storage.stuck import find_stuck

__all__ = ["Sweeper"]

log = structlog.get_logger()

SWEEP_INTERVAL_SECONDS = 1.0
MIN_AGE_SECONDS = 3.0
"""Younger messages are on their way."""
LIMIT = 1_000
ROUND = 200
"""Conversations looked at in turn, besides those whose messages have waited longest."""
STUCK_INTERVAL_SECONDS = 15.0
RETENTION_INTERVAL_SECONDS = 3600.0


class Sweeper:
    """Looks into the database every second; drops old conversations every hour if asked to."""

    def __init__(
        self, settings: Settings, directory: Directory, table: Callable[[], RoutingTable]
    ) -> None:
        self._settings = settings
        self._table = table
        self._hosts = HostLink(directory, table)
        self._after = ""

    async def run(self) -> None:
        """Sweep for ever."""
        if self._settings.postgres_dsn is None:
            raise ValueError("a sweeper needs a database")
        database = await Database.connect(
            self._settings.postgres_dsn, max_connections=2, application_name="supervisor"
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._sweep, database, SWEEP_INTERVAL_SECONDS))
            group.create_task(self._repeat(self._count_stuck, database, STUCK_INTERVAL_SECONDS))
            if self._settings.retention_hours > 0:
                group.create_task(
                    self._repeat(self._clean_up, database, RETENTION_INTERVAL_SECONDS)
                )

    async def _repeat(
        self, work: Callable[[Database], object], database: Database, seconds: float
    ) -> None:
        while True:
            try:
                await work(database)  # type: ignore[misc]
            except (DatabaseUnavailable, DatabaseRejected) as error:
                SWEEPS.add("failed")
                log.warning("sweep_failed", work=work.__name__, error=str(error))
            except Exception:  # the next sweep must not be missed for it
                SWEEPS.add("failed")
                log.exception("sweep_failed", work=work.__name__)
            await asyncio.sleep(seconds)

    async def _sweep(self, database: Database) -> None:
        dead = self._table().dead_owners
        pokes = await pending_pokes(database, MIN_AGE_SECONDS, LIMIT, dead)
        known = {poke.conversation_id for poke in pokes}
        further, self._after = await next_pokes(database, MIN_AGE_SECONDS, ROUND, self._after, dead)
        pokes += [poke for poke in further if poke.conversation_id not in known]
        if pokes:
            log.info("swept", pokes=len(pokes))
            SWEPT_CONVERSATIONS.add(amount=len(pokes))
            await asyncio.gather(*(self._route(poke) for poke in pokes))
        SWEEPS.add("done")

    async def _route(self, poke: PendingPoke) -> None:
        envelope = Envelope(
            conversation_id=poke.conversation_id,
            kind=EnvelopeKind.POKE,
            epoch=poke.epoch,
            message_id=poke.message_id,
            job_id=poke.job_id,
        )
        await self._hosts.send(envelope, self._holder(poke.owner))

    def _holder(self, owner: str | None) -> str | None:
        """Return the live host that owns the conversation, if one does."""
        host = self._table().host_with(owner)
        return None if host is None else host.name

    async def _count_stuck(self, database: Database) -> None:
        STUCK_CONVERSATIONS.set(len(await find_stuck(database, self._settings)))

    async def _clean_up(self, database: Database) -> None:
        removed = await cleanup(
            database, self._settings.retention_hours, on_erased=self._tell_erased
        )
        log.info("retention", conversations=removed.conversations)

    async def _tell_erased(self, conversation_ids: list[str]) -> None:
        """Tell the hosts, which delete what Redis has of them too."""
        await self._hosts.send_all([erased(it) for it in conversation_ids])
