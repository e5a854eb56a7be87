"""What hosts are told: of a message that was stored, of a conversation that was erased."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cluster_link import HostAddress
from actors.codec import Envelope, EnvelopeKind
from actors.expectations import Expectation
from storage.records import Accepted, AcceptOutcome, NewMessage, StoredMessage
from storage.redis_lease import LeaseHolder

__all__ = ["address_of", "envelope_of", "erased", "poke_for"]


def envelope_of(
    message: NewMessage, accepted: Accepted, reply_to: str, *, hears_start: bool
) -> Envelope:
    """Return what tells a host of a message: with its content, if it was stored just now."""
    is_new = accepted.outcome is AcceptOutcome.ACCEPTED
    return Envelope(
        conversation_id=message.conversation_id,
        kind=EnvelopeKind.MESSAGE if is_new else EnvelopeKind.POKE,
        epoch=accepted.epoch,
        message_id=accepted.message_id,
        message=_stored(message, accepted) if is_new else None,
        reply_to=reply_to,
        hears_start=hears_start,
    )


def poke_for(waiting: Sequence[Expectation], reply_to: str) -> Envelope:
    """Return what tells a host that these wait for one message, stored some time ago."""
    conversation_id, message_id = waiting[0].key
    return Envelope(
        conversation_id=conversation_id,
        kind=EnvelopeKind.POKE,
        epoch=waiting[0].epoch,
        message_id=message_id,
        reply_to=reply_to,
        hears_start=any(it.hears_start for it in waiting),
    )


def erased(conversation_id: str, holder: LeaseHolder | None = None) -> Envelope:
    """Return what tells a host that a conversation was erased; ``holder`` had its lease."""
    return Envelope(
        conversation_id=conversation_id, kind=EnvelopeKind.FORGET, holder=address_of(holder)
    )


def address_of(holder: LeaseHolder | None) -> str | None:
    """Return where whoever held a lease can be told something."""
    return None if holder is None else str(HostAddress(holder.cluster, holder.owner))


def _stored(message: NewMessage, accepted: Accepted) -> StoredMessage:
    return StoredMessage(
        message_id=accepted.message_id,
        job_id=accepted.job_id,
        seq=accepted.seq,
        previous_seq=accepted.previous_seq,
        sender_id=message.sender_id,
        sender_type=message.sender_type,
        content=accepted.content,
        timestamp=accepted.accepted_at if message.timestamp is None else message.timestamp,
        accepted_at=accepted.accepted_at,
        bot_id=message.bot_id,
        metadata=message.metadata,
        attachments=message.attachments,
        context=message.context,
    )
