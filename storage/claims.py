"""Taking conversations over, and keeping them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from storage.claim_records import Claim, ClaimOutcome, ClaimRequest, OwnerRenewal
from storage.delivery_records import StoredDelivery
from storage.postgres import Database, Row, queries
from storage.records import ContextEntry, FencedOutcome, StoredMessage

__all__ = ["PendingMessages", "claim_conversations", "read_pending_messages", "renew_owners"]

MOST_PENDING_BYTES = 8_388_608
"""Of one conversation, read at once: more than fills a mailbox."""

_SQL = queries("claim")
_ROLES = {"user": "user", "agent": "assistant", "bot": "assistant", "system": "system"}


@dataclass(slots=True)
class PendingMessages:
    """What waits in one conversation."""

    messages: list[StoredMessage] = field(default_factory=list)
    has_more: bool = False
    """Whether more wait behind these."""


async def claim_conversations(database: Database, requests: list[ClaimRequest]) -> list[Claim]:
    """Claim conversations (each at most once a call) and read what their new owner needs.

    Raises ``DatabaseUnavailable``; the same requests again find out what became of these.
    """
    rows = await database.fetch(
        _SQL["claim_conversations"],
        [request.conversation_id for request in requests],
        [request.epoch for request in requests],
        [request.owner for request in requests],
        [request.cluster for request in requests],
        [request.lock_id for request in requests],
        [request.lease_kind.value for request in requests],
        [request.owner_ttl_seconds for request in requests],
        [request.take_over_from for request in requests],
    )
    found = {row["conversation_id"]: row for row in rows}
    claimed = [
        request
        for request in requests
        if (row := found.get(request.conversation_id)) and row["outcome"] == ClaimOutcome.CLAIMED
    ]
    messages = await read_pending_messages(
        database,
        [request.conversation_id for request in claimed],
        [request.message_limit for request in claimed],
    )
    outboxes = await _read_outboxes(database, claimed)
    contexts = await _read_contexts(database, claimed, found)
    return [
        _claim_of(request, found.get(request.conversation_id), messages, outboxes, contexts)
        for request in requests
    ]


def _claim_of(
    request: ClaimRequest,
    row: Row | None,
    messages: dict[str, PendingMessages],
    outboxes: dict[str, list[StoredDelivery]],
    contexts: dict[str, list[ContextEntry]],
) -> Claim:
    if row is None:
        return Claim(outcome=ClaimOutcome.MISSING)
    outcome = ClaimOutcome(row["outcome"])
    key = request.conversation_id
    is_claimed = outcome is ClaimOutcome.CLAIMED
    pending = messages.get(key, PendingMessages())
    is_current = request.cached_position == row["last_position"]
    return Claim(
        outcome=outcome,
        epoch=row["epoch"],
        owner=row["owner"],
        cluster=row["cluster"],
        retry_in_seconds=row["retry_in_seconds"] if outcome is ClaimOutcome.REFUSED else 0.0,
        status=row["status"],
        position=row["last_position"],
        last_activity_at=row["last_activity_at"],
        context=contexts.get(key, []) if is_claimed and not is_current else None,
        messages=pending.messages,
        outbox=outboxes.get(key, []),
        has_more=pending.has_more,
        attempts=row["attempts"] if is_claimed else 0,
        last_seq=row["last_seq"],
    )


async def read_pending_messages(
    database: Database, conversation_ids: list[str], limits: list[int]
) -> dict[str, PendingMessages]:
    """Return the oldest pending messages of each conversation, by order of acceptance.

    No further one is returned past ``MOST_PENDING_BYTES`` of their texts.
    """
    pending: defaultdict[str, PendingMessages] = defaultdict(PendingMessages)
    if conversation_ids:
        for row in await database.fetch(
            _SQL["pending_messages"], conversation_ids, limits, MOST_PENDING_BYTES
        ):
            own = pending[row["conversation_id"]]
            own.messages.append(_stored_message(row))
            own.has_more = row["found"] > len(own.messages)
    return pending


def _stored_message(row: Row) -> StoredMessage:
    return StoredMessage(
        message_id=row["message_id"],
        job_id=row["job_id"],
        seq=row["seq"],
        sender_id=row["sender_id"],
        sender_type=row["sender_type"],
        content=row["content"],
        timestamp=row["timestamp"],
        accepted_at=row["accepted_at"],
        bot_id=row["bot_id"],
        metadata=row["metadata"],
        attachments=row["attachments"],
        context=row["context"],
        turn_job_id=row["turn_job_id"],
    )


async def _read_outboxes(
    database: Database, claimed: list[ClaimRequest]
) -> dict[str, list[StoredDelivery]]:
    outboxes: defaultdict[str, list[StoredDelivery]] = defaultdict(list)
    if claimed:
        keys = [request.conversation_id for request in claimed]
        for row in await database.fetch(_SQL["outboxes"], keys):
            conversation_id, job_id, bot_id, body, attempts, retry_in_seconds, ids, count = row
            outboxes[conversation_id].append(
                StoredDelivery(
                    job_id=job_id,
                    bot_id=bot_id,
                    body=body,
                    attempts=attempts,
                    retry_in_seconds=retry_in_seconds,
                    message_ids=ids,
                    action_count=count,
                )
            )
    return outboxes


async def _read_contexts(
    database: Database, claimed: list[ClaimRequest], found: dict[str, Row]
) -> dict[str, list[ContextEntry]]:
    contexts: defaultdict[str, list[ContextEntry]] = defaultdict(list)
    wanted = [
        (request.conversation_id, row["context_start"], request.context_limit)
        for request in claimed
        if (row := found[request.conversation_id])["last_position"] > row["context_start"]
        and row["last_position"] != request.cached_position
    ]
    if wanted:
        keys, starts, limits = (list(column) for column in zip(*wanted, strict=True))
        for conversation_id, sender_type, content in await database.fetch(
            _SQL["contexts"], keys, starts, limits
        ):
            role = _ROLES.get(sender_type, "user")
            contexts[conversation_id].append(ContextEntry(role=role, content=content))
    return contexts


async def renew_owners(database: Database, renewals: list[OwnerRenewal]) -> list[FencedOutcome]:
    """Extend (or, with 0 seconds, end) ownerships, where the epoch and the owner still match."""
    rows = await database.fetch(
        _SQL["renew_owners"],
        [renewal.conversation_id for renewal in renewals],
        [renewal.epoch for renewal in renewals],
        [renewal.owner for renewal in renewals],
        [renewal.lease_kind.value for renewal in renewals],
        [renewal.owner_ttl_seconds for renewal in renewals],
    )
    renewed = {row["conversation_id"] for row in rows}
    return [
        FencedOutcome.DONE if renewal.conversation_id in renewed else FencedOutcome.FENCED
        for renewal in renewals
    ]
