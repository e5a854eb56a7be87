"""Claims and reads of the simulated database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from storage.claim_records import Claim, ClaimOutcome, ClaimRequest
from storage.delivery_records import StoredDelivery
from storage.records import ContextEntry, LeaseKind, StoredMessage
from tests.simulation.rows import Answer, ConversationRow, MessageRow

if TYPE_CHECKING:
    from tests.simulation.tables import Tables

__all__ = ["claim", "due_deliveries", "next_pending", "pending_messages", "waiting_messages"]

_ROLES = {"user": "user", "agent": "assistant", "bot": "assistant", "system": "system"}


def claim(tables: Tables, request: ClaimRequest) -> Claim:
    """Raise the epoch, if it is the one expected, and read what the new owner needs."""
    conversation = tables.conversations.get(request.conversation_id)
    if conversation is None:
        return Claim(outcome=ClaimOutcome.MISSING)
    now = tables.now
    outcome = _judged(conversation, request, now)
    if outcome is not ClaimOutcome.CLAIMED:
        is_refused = outcome is ClaimOutcome.REFUSED
        until = conversation.owner_until or now
        return Claim(
            outcome=outcome,
            epoch=conversation.epoch,
            owner=conversation.owner,
            cluster=conversation.cluster,
            retry_in_seconds=max(until - now, 0.0) if is_refused else 0.0,
        )
    is_repeated = conversation.epoch == request.epoch + 1
    if not conversation.pending():
        conversation.attempts = 0
    elif not is_repeated:
        conversation.attempts = max(conversation.attempts, min(conversation.attempts + 1, 3))
    conversation.epoch = request.epoch + 1
    conversation.owner, conversation.cluster = request.owner, request.cluster
    conversation.lock_id, conversation.lease_kind = request.lock_id, request.lease_kind
    conversation.owner_until = now + request.owner_ttl_seconds
    conversation.running_job_id = None
    tables.checker.turns.claimed(request, [it.message_id for it in conversation.pending()])
    if request.lease_kind is LeaseKind.DATABASE:
        key, seconds = conversation.conversation_id, request.owner_ttl_seconds
        tables.checker.leases.hold(key, request.owner, seconds, request.lease_kind)
    return _claimed(conversation, request, now)


def _judged(conversation: ConversationRow, request: ClaimRequest, now: float) -> ClaimOutcome:
    if conversation.epoch == request.epoch + 1 and conversation.lock_id == request.lock_id:
        return ClaimOutcome.CLAIMED
    if conversation.epoch != request.epoch:
        return ClaimOutcome.STALE
    is_guarded = LeaseKind.DATABASE in (request.lease_kind, conversation.lease_kind)
    if (
        conversation.has_live_owner(now)
        and conversation.owner not in (request.owner, request.take_over_from)
        and is_guarded
    ):
        return ClaimOutcome.REFUSED
    return ClaimOutcome.CLAIMED


def _claimed(conversation: ConversationRow, request: ClaimRequest, now: float) -> Claim:
    pending = conversation.pending()
    context = None
    if request.cached_position != conversation.last_position:
        places = sorted(p for p in conversation.lines if p > conversation.context_start)
        said = [conversation.lines[place] for place in places]
        spoken = [ContextEntry(role=_ROLES[kind], content=text) for kind, text in said if text]
        context = spoken[-request.context_limit :] if request.context_limit else []
    return Claim(
        outcome=ClaimOutcome.CLAIMED,
        epoch=conversation.epoch,
        owner=request.owner,
        cluster=request.cluster,
        status=conversation.status,
        position=conversation.last_position,
        last_activity_at=conversation.last_settled_at or conversation.last_accepted_at,
        context=context,
        messages=[_stored(conversation, it) for it in pending[: request.message_limit]],
        outbox=[
            StoredDelivery(
                job_id=it.job_id,
                bot_id=it.bot_id,
                body=it.delivery_body or "",
                attempts=it.delivery_attempts,
                retry_in_seconds=max((it.next_delivery_at or now) - now, 0.0),
                message_ids=it.message_ids,
                action_count=it.action_count,
            )
            for it in conversation.undelivered()
        ],
        has_more=len(pending) > request.message_limit,
        attempts=conversation.attempts,
        last_seq=conversation.last_seq,
    )


def _stored(conversation: ConversationRow, row: MessageRow) -> StoredMessage:
    turn = conversation.jobs.get(row.turn_job_id or "")
    return StoredMessage(
        message_id=row.message_id,
        job_id=row.job_id,
        seq=row.seq,
        sender_id=row.new.sender_id,
        sender_type=row.new.sender_type,
        content=row.new.content,
        timestamp=row.accepted_at if row.new.timestamp is None else row.new.timestamp,
        accepted_at=row.accepted_at,
        bot_id=row.new.bot_id,
        metadata=row.new.metadata,
        attachments=row.new.attachments,
        context=row.new.context,
        turn_job_id=row.turn_job_id if turn is not None and turn.is_open else None,
    )


def pending_messages(
    tables: Tables, ids: list[str], limits: list[int], _most_bytes: int
) -> list[Any]:
    """``claim.sql``: the oldest pending messages of each conversation."""
    found = []
    for key, limit in zip(ids, limits, strict=True):
        conversation = tables.conversations.get(key)
        if conversation is None:
            continue
        pending = conversation.pending()[: limit + 1]
        for row in pending[:limit]:
            fields = msgspec.structs.asdict(_stored(conversation, row))
            found.append(Answer(conversation_id=key, **fields, found=len(pending)))
    return found


def waiting_messages(
    tables: Tables, min_age_seconds: float, _most: int, limit: int, dead_owners: Sequence[str]
) -> list[Any]:
    """``sweep.sql``: messages that are in no live owner's running turn, one a conversation."""
    every = next_pending(tables, min_age_seconds, len(tables.conversations), "", dead_owners)
    return [row for row in every if row["message_id"] is not None][:limit]


def next_pending(
    tables: Tables, min_age_seconds: float, count: int, after: str, dead_owners: Sequence[str]
) -> list[Any]:
    """``sweep.sql``: the same, of the next conversations by their ids that have pending ones."""
    now, found = tables.now, []
    for key, it in sorted(tables.conversations.items()):
        pending = it.pending() if key > after else []
        if not pending:
            continue
        is_owned = it.has_live_owner(now) and it.owner not in dead_owners
        held = it.running_job_id if is_owned else None
        waiting = (
            row
            for row in pending
            if row.accepted_at < now - min_age_seconds and (held is None or row.turn_job_id != held)
        )
        row = next(waiting, None)
        found.append(
            Answer(
                conversation_id=key,
                epoch=it.epoch,
                message_id=row.message_id if row is not None else None,
                job_id=row.job_id if row is not None else None,
                owner=it.owner if it.has_live_owner(now) else None,
            )
        )
    return found[:count]


def due_deliveries(
    tables: Tables, min_age_seconds: float, limit: int, dead_owners: Sequence[str]
) -> list[Any]:
    """``sweep.sql``: the first undelivered answer of each conversation that nobody sends."""
    now, found = tables.now, []
    for key, it in sorted(tables.conversations.items()):
        job = next(iter(it.undelivered()), None)
        if job is None or job.next_delivery_at is None or job.next_delivery_at > now:
            continue
        is_owned = it.has_live_owner(now) and it.owner not in dead_owners
        is_untried = job.delivery_attempts == 0 and job.next_delivery_at < now - min_age_seconds
        if not is_owned or is_untried:
            owner = it.owner if it.has_live_owner(now) else None
            found.append(
                Answer(conversation_id=key, epoch=it.epoch, job_id=job.job_id, owner=owner)
            )
    return found[:limit]
