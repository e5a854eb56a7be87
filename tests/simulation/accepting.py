"""How the simulated database takes messages in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage
from tests.simulation.rows import ConversationRow, JobRow, MessageRow

if TYPE_CHECKING:
    from tests.simulation.tables import Tables

__all__ = ["accept"]


def accept(tables: Tables, message: NewMessage) -> Accepted:
    """Store a message, revive a rejected one, or say that it is a duplicate."""
    if message.message_id is None or message.parts:
        raise NotImplementedError("the simulated database knows no digests and no parts")
    known = tables.stored(message)
    conversation = tables.conversations.setdefault(
        message.conversation_id, ConversationRow(message.conversation_id)
    )
    if known is None:
        unfinished = len(conversation.pending())
        row = MessageRow(message, message.job_id, next(tables.seqs), tables.now)
        conversation.messages[row.message_id] = row
        _make_job(tables, conversation, row)
        return _accepted(AcceptOutcome.ACCEPTED, conversation, row, unfinished)
    own = conversation.jobs[known.job_id]
    if own.status is not JobStatus.REJECTED or known.processed_at is None:
        return _accepted(AcceptOutcome.DUPLICATE, conversation, known, 0)
    unfinished = len(conversation.pending())
    known.job_id, known.turn_job_id, known.processed_at = message.job_id, None, None
    known.accepted_at, known.seq = tables.now, next(tables.seqs)
    _make_job(tables, conversation, known)
    return _accepted(AcceptOutcome.REVIVED, conversation, known, unfinished)


def _make_job(tables: Tables, conversation: ConversationRow, row: MessageRow) -> None:
    conversation.last_accepted_at = tables.now
    conversation.previous_seq, conversation.last_seq = conversation.last_seq, row.seq
    conversation.jobs[row.job_id] = JobRow(
        row.job_id, conversation.conversation_id, row.new.bot_id, [row.message_id], tables.now
    )
    tables.conversation_of_job[row.job_id] = conversation.conversation_id
    tables.checker.turns.accepted(conversation.conversation_id, row.message_id, row.seq)


def _accepted(
    outcome: AcceptOutcome,
    conversation: ConversationRow,
    row: MessageRow,
    unfinished_jobs: int,
) -> Accepted:
    own = conversation.jobs[row.job_id]
    answering = conversation.jobs.get(own.superseded_by or "", own)
    return Accepted(
        outcome=outcome,
        message_id=row.message_id,
        job_id=answering.job_id,
        job_status=answering.status,
        epoch=conversation.epoch,
        seq=row.seq,
        previous_seq=conversation.previous_seq if outcome is AcceptOutcome.ACCEPTED else 0,
        accepted_at=row.accepted_at,
        content=row.new.content,
        unfinished_jobs=unfinished_jobs,
        conversation_status=conversation.status,
    )
