"""A simulated PostgreSQL: the tables, behind a connection that may be late, cut, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from storage.admin import CancelledConversation, CancelledJob
from storage.codec import OperationKind
from storage.postgres import DatabaseConflict, DatabaseRejected, DatabaseUnavailable, queries
from storage.records import JobStatus
from storage.writer import _WRITES
from tests.simulation import claiming
from tests.simulation.network import Network
from tests.simulation.rows import Answer, JobRow
from tests.simulation.tables import Tables

__all__ = ["DatabaseServer", "simulated_writes"]

Result = TypeVar("Result")

STATEMENT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0


class DatabaseServer:
    """What ``Database.connect`` gives in a simulation, for every process the same."""

    open_connections = idle_connections = max_connections = 1

    def __init__(self, network: Network, tables: Tables) -> None:
        self.tables = tables
        self._network = network
        claim_sql, sweep_sql, reads_sql = queries("claim"), queries("sweep"), queries("reads")
        self._reads: dict[str, Callable[..., list[Any]]] = {
            claim_sql["pending_messages"]: claiming.pending_messages,
            sweep_sql["pending_messages"]: claiming.waiting_messages,
            sweep_sql["next_pending"]: claiming.next_pending,
            sweep_sql["due_deliveries"]: claiming.due_deliveries,
            reads_sql["job"]: _job,
            queries("bots")["read_bots"]: lambda tables, *_: self.bots,
            "select 1": lambda tables: [Answer(one=1)],
        }
        self.bots: list[Answer] = []

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        """Run a statement that reads."""
        read = self._reads.get(sql)
        if read is None:
            raise NotImplementedError(f"the simulated database does not know: {sql[:200]}")
        return await self.ask(lambda: read(self.tables, *arguments), is_write=False)

    async def fetch_one(self, sql: str, *arguments: Any) -> Any:
        """Run a statement that reads a row."""
        return next(iter(await self.fetch(sql, *arguments)), None)

    async def close(self) -> None:
        """Nothing is open."""

    def terminate(self) -> None:
        """Nothing is open."""

    async def ask(self, serve: Callable[[], Result], *, is_write: bool = True) -> Result:
        """Have something done in one transaction. Raises ``DatabaseUnavailable``."""
        network = self._network
        weather, random = network.weather, network.random
        if weather.database_is_down:
            await network.wait(0.001, DatabaseUnavailable("refused"))
        if weather.database_is_mute:
            await network.wait(CONNECT_TIMEOUT_SECONDS, DatabaseUnavailable("no answer"))
        if weather.database_refuses and random.random() < weather.database_refuses:
            weather.inject("database refused")
            await network.wait(network.latency(), DatabaseUnavailable("shutting down"))
        if weather.database_conflict and random.random() < weather.database_conflict:
            weather.inject("database conflict")
            await network.wait(network.latency(), DatabaseConflict("40P01"))
        there = network.latency()
        if weather.database_late and random.random() < weather.database_late:
            weather.inject("database late")
            there += 3 * random.random() ** 2
        if is_write and weather.database_unknown and random.random() < weather.database_unknown:
            return await self._answer_unknown(serve, there)
        return await network.ask(serve, there=there)

    async def _answer_unknown(self, serve: Callable[[], Result], there: float) -> Result:
        """Fail, having done it, not having done it, or doing it later."""
        network, random = self._network, self._network.random
        error = DatabaseUnavailable("the connection was closed in the middle of operation")
        kind = random.choice(("done", "not done", "done later"))
        network.weather.inject(f"database unknown, {kind}")
        if kind == "done":
            return await network.ask(serve, there=there, error=error)
        if kind == "done later":
            later = STATEMENT_TIMEOUT_SECONDS * random.random() ** 2
            network.at_home_of(None, later, _ignoring(serve))
        await network.wait(there, error)
        raise error

    # -------------------------------------------------------------------- what people ask for

    async def cancel_job(self, job_id: str) -> CancelledJob | None:
        """``storage.admin.cancel_job``."""
        return await self.ask(lambda: self._cancel_job(job_id))

    def _cancel_job(self, job_id: str) -> CancelledJob | None:
        job = self.tables.job(job_id)
        if job is None:
            return None
        has_changed = self._cancel_uncommitted(job)
        if (
            not has_changed
            and job.committed_at is not None
            and job.status is JobStatus.PROCESSING
            and job.delivery_status == "pending"
            and job.delivery_attempts == 0
        ):
            job.status, job.reason, job.finished_at = JobStatus.CANCELLED, "cancelled", None
            job.delivery_status, job.delivery_body, job.next_delivery_at = "cancelled", None, None
            has_changed = True
            self.tables.checker.deliveries.cancelled(job_id)
        return CancelledJob(job_id, job.conversation_id, job.status, has_changed)

    def _cancel_uncommitted(self, job: JobRow) -> bool:
        if job.committed_at is not None or job.status not in (
            JobStatus.QUEUED,
            JobStatus.PROCESSING,
        ):
            return False
        job.status, job.reason = JobStatus.CANCELLED, "cancelled"
        conversation = self.tables.conversations[job.conversation_id]
        for row in conversation.messages.values():
            if row.processed_at is None and job.job_id in (row.turn_job_id, row.job_id):
                row.processed_at = self.tables.now
                self.tables.checker.turns.dropped(job.conversation_id, row.message_id)
        if conversation.running_job_id == job.job_id:
            conversation.running_job_id = None
        conversation.attempts = 0
        return True

    async def cancel_conversation(self, conversation_id: str) -> CancelledConversation | None:
        """``storage.admin.cancel_conversation``."""
        return await self.ask(lambda: self._reset(conversation_id))

    def _reset(self, conversation_id: str) -> CancelledConversation | None:
        it = self.tables.conversations.get(conversation_id)
        if it is None:
            return None
        owner = it.owner if it.has_live_owner(self.tables.now) else None
        running, lock_id = it.jobs.get(it.running_job_id or ""), it.lock_id
        was_running = running is not None and self._cancel_uncommitted(running)
        it.epoch += 1
        it.attempts = 0
        it.owner = it.lock_id = it.owner_until = it.running_job_id = None
        self.tables.checker.turns.reset(conversation_id)
        return CancelledConversation(
            conversation_id=conversation_id,
            epoch=it.epoch,
            cancelled_job_id=running.job_id if running is not None and was_running else None,
            owner=owner,
            cluster=it.cluster if owner else None,
            lock_id=lock_id,
        )


def _ignoring(serve: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            serve()
        except DatabaseRejected:
            return

    return run


def _job(tables: Tables, job_id: object) -> list[Any]:
    job = tables.job(str(job_id))
    if job is None:
        return []
    row = Answer({it.name: getattr(job, it.name) for it in fields(JobRow)})
    for name in ("created_at", "started_at", "committed_at", "finished_at", "next_delivery_at"):
        row[name] = None if row[name] is None else datetime.fromtimestamp(row[name], UTC)
    return [row | {"id": job.job_id, "consolidated_messages": len(job.message_ids)}]


def simulated_writes() -> dict[OperationKind, Any]:
    """Return what the real storage writer calls in place of its statements."""
    return {kind: _write_of(kind) for kind in _WRITES}


def _write_of(kind: OperationKind) -> Any:
    async def write(database: DatabaseServer, items: list[Any]) -> list[Any]:
        def serve() -> list[Any]:
            if any(database.tables.refuses(item) for item in items):
                raise DatabaseRejected("the value is refused")
            return database.tables.apply(kind, items)

        return await database.ask(serve)

    return write
