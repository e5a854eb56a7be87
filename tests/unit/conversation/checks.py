"""What must never happen in a world, and what must be so when all work in it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.conversation import Conversation, Phase
from actors.conversation import effects as fx
from actors.conversation.phase import IN_TURN
from tests.unit.conversation.database import FINAL, UNFINISHED, Database

BUSY = IN_TURN | {Phase.DEBOUNCING}


@dataclass(eq=False)
class Seat:
    """A conversation in the memory of a host; gone once it is forgotten or the host has died."""

    host: str
    conversation: Conversation
    is_gone: bool = False
    is_owner: bool = False
    ai_call: tuple[str, int] | None = None
    callers: set[str] = field(default_factory=set)


def check_effect(
    database: Database, seat: Seat, effect: fx.Effect, before: Phase, now: float
) -> None:
    """Check what a conversation asks for."""
    conversation = seat.conversation
    match effect:
        case fx.CallAi():
            assert seat.ai_call is None, "two AI calls at once"
        case fx.StartTurn():
            _check_order(database, seat, effect)
        case fx.Deliver():
            _check_delivery(database, seat, effect)
        case fx.Tell(word=fx.Word.LOCKED, queued=True):
            assert before in BUSY or conversation.phase in BUSY, "locked by nothing"
        case _:
            pass
    if isinstance(effect, fx.CallAi | fx.StartTurn | fx.CommitTurn | fx.Deliver):
        assert seat.is_owner
        assert now < conversation.trusted_until, "trust is over"


def _check_order(database: Database, seat: Seat, effect: fx.StartTurn) -> None:
    if database.jobs[effect.job_id].status not in UNFINISHED:
        return  # the database will say so, and nothing comes of it
    rows = database.rows
    ids = set(effect.message_ids)
    first = min(rows[message_id].message.seq for message_id in ids)
    for message in database.pending:
        if message.message_id in ids | set(seat.conversation.settling):
            continue
        if message.sender_type == "user":
            assert message.seq > first, f"{message.message_id} was overtaken"


def _check_delivery(database: Database, seat: Seat, effect: fx.Deliver) -> None:
    job = database.jobs[effect.job_id]
    assert job.committed_by is not None, "delivered before its commit"
    assert effect.attempts >= 1
    if seat.conversation.epoch == database.epoch and job.delivery == "pending":
        in_order = [it for it in database.undelivered if it is job or not it.is_sent_late]
        assert job.is_sent_late or in_order[0] is job, "delivered out of order"


def check_end(database: Database, sent: list[str]) -> None:
    """Check that every message was decided once, and that every job is final."""
    for job in database.jobs.values():
        assert job.status in FINAL, job
    for message_id, row in database.rows.items():
        assert row.is_processed
        if message_id in database.answered:
            assert message_id in database.jobs[database.answered[message_id]].message_ids
        job = database.jobs[row.message.job_id]
        if job.status == "superseded":
            job = database.jobs[job.superseded_by or ""]
            assert job.status != "superseded"
            if job.committed_by is not None:
                assert message_id in job.message_ids
    first_sent = [it for it in dict.fromkeys(sent) if not database.jobs[it].is_sent_late]
    assert first_sent == [job_id for job_id in database.commits if job_id in first_sent]
