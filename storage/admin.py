"""Rare writes: what people and the supervisor ask for. All raise ``DatabaseUnavailable``."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from storage.postgres import Database, Row, Session, queries
from storage.records import JobStatus

__all__ = [
    "CancelledConversation",
    "CancelledJob",
    "ErasedRows",
    "cancel_conversation",
    "cancel_job",
    "conversation_of_job",
    "erase_conversation",
    "resume_conversation",
]

_SQL = queries("admin")


@dataclass(frozen=True, slots=True)
class CancelledJob:
    """The job as it is now. ``has_changed``: this call cancelled it."""

    job_id: str
    conversation_id: str
    status: JobStatus
    has_changed: bool


@dataclass(frozen=True, slots=True)
class CancelledConversation:
    """A conversation whose epoch was raised, and who had owned it."""

    conversation_id: str
    epoch: int
    cancelled_job_id: str | None
    owner: str | None
    """The owner it had by the database's clock, or None."""
    cluster: str | None
    lock_id: str | None
    """That of its last owner, whether it still was one or not."""
    was_idle: bool = False
    """No turn was running and no message was waiting."""


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """How many rows are gone (or, in a dry run, would be)."""

    conversations: int = 0
    messages: int = 0
    jobs: int = 0
    actions: int = 0

    def __add__(self, other: ErasedRows) -> ErasedRows:
        return ErasedRows(
            self.conversations + other.conversations,
            self.messages + other.messages,
            self.jobs + other.jobs,
            self.actions + other.actions,
        )


async def conversation_of_job(database: Database, job_id: str) -> str | None:
    """Return the conversation a job belongs to; None if there is no such job."""
    try:
        key = UUID(job_id)
    except ValueError:
        return None
    row = await database.fetch_one(_SQL["conversation_of_job"], key)
    return None if row is None else str(row["conversation_id"])


async def cancel_job(database: Database, job_id: str) -> CancelledJob | None:
    """Cancel a job that is not committed, or of which no delivery was tried; None: no such job.

    Anything else stays as it is.
    """
    conversation_id = await conversation_of_job(database, job_id)
    if conversation_id is None:
        return None
    async with database.transaction() as session:
        await session.fetch_one(_SQL["lock_conversation"], conversation_id)
        has_changed = await _cancel(session, conversation_id, job_id)
        if not has_changed and await session.fetch_one(_SQL["cancel_undelivered_job"], job_id):
            await session.fetch(_SQL["cancel_actions"], job_id)
            has_changed = True
        row = await session.fetch_one(_SQL["job_status"], job_id)
    if row is None:  # erased before it was locked
        return None
    return CancelledJob(job_id, conversation_id, JobStatus(row["status"]), has_changed)


async def _cancel(session: Session, conversation_id: str, job_id: str) -> bool:
    """Cancel a job before its commit, in a transaction that has locked its conversation."""
    if await session.fetch_one(_SQL["cancel_uncommitted_job"], job_id) is None:
        return False
    await session.fetch(_SQL["drop_messages_of_job"], conversation_id, job_id)
    await session.fetch(_SQL["forget_cancelled_job"], conversation_id, job_id)
    return True


async def cancel_conversation(
    database: Database, conversation_id: str
) -> CancelledConversation | None:
    """Raise the epoch, which fences whoever owns it, and cancel the running turn.

    The caller deletes the lease. Messages that were not in the turn stay pending. None: there is
    no such conversation.
    """
    async with database.transaction() as session:
        row = await session.fetch_one(_SQL["lock_conversation"], conversation_id)
        if row is None:
            return None
        return await _reset(session, conversation_id, row, "reset_conversation")


async def _reset(
    session: Session, conversation_id: str, row: Row, statement: str
) -> CancelledConversation:
    running = row["running_job_id"]
    was_running = running is not None and await _cancel(session, conversation_id, running)
    reset = await session.fetch_one(_SQL[statement], conversation_id)
    return CancelledConversation(
        conversation_id=conversation_id,
        epoch=reset["epoch"] if reset else row["epoch"],
        cancelled_job_id=running if was_running else None,
        owner=row["owner"],
        cluster=row["cluster"] if row["owner"] else None,
        lock_id=row["lock_id"],
        was_idle=row["is_idle"],
    )


async def resume_conversation(
    database: Database, conversation_id: str
) -> CancelledConversation | None:
    """Give a conversation back to the bot: status ``active``, epoch raised. No turn is cancelled.

    None: there is no such conversation.
    """
    async with database.transaction() as session:
        row = await session.fetch_one(_SQL["lock_conversation"], conversation_id)
        if row is None:
            return None
        reset = await session.fetch_one(_SQL["resume_conversation"], conversation_id)
    return CancelledConversation(
        conversation_id=conversation_id,
        epoch=reset["epoch"] if reset else row["epoch"],
        cancelled_job_id=None,
        owner=row["owner"],
        cluster=row["cluster"] if row["owner"] else None,
        lock_id=row["lock_id"],
        was_idle=row["is_idle"],
    )


async def erase_conversation(
    database: Database, conversation_id: str
) -> tuple[CancelledConversation, ErasedRows] | None:
    """Cancel a conversation and delete all of it; None: there is no such conversation.

    What an owner still writes is fenced: neither the conversation nor its jobs are there, and jobs
    of a conversation that comes under the same id are others.
    """
    async with database.transaction() as session:
        # So a message that comes at this moment is erased, or begins the conversation anew.
        await session.fetch(_SQL["keep_acceptance_out"], conversation_id)
        row = await session.fetch_one(_SQL["lock_conversation"], conversation_id)
        if row is None:
            return None
        cancelled = await _reset(session, conversation_id, row, "reset_conversation")
        return cancelled, await erase(session, [conversation_id])


async def erase(session: Session, conversation_ids: list[str]) -> ErasedRows:
    """Delete conversations that the transaction has locked, with all their rows."""
    removed: dict[str, int] = {}
    for name in ("actions", "jobs", "messages", "conversations"):
        row = await session.fetch_one(_SQL[f"erase_{name}"], conversation_ids)
        removed[name] = row["removed"] if row else 0
    return ErasedRows(**removed)
