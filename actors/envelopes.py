"""From what was stored to what its host is told."""

from __future__ import annotations

from actors.codec import Envelope, EnvelopeKind
from storage.records import Accepted, AcceptOutcome, NewMessage, StoredMessage

__all__ = ["envelope_of"]


def envelope_of(message: NewMessage, accepted: Accepted, reply_to: str) -> Envelope:
    """Return what tells a host of a message: with its content, if it was stored just now."""
    is_new = accepted.outcome is AcceptOutcome.ACCEPTED
    return Envelope(
        conversation_id=message.conversation_id,
        kind=EnvelopeKind.MESSAGE if is_new else EnvelopeKind.POKE,
        epoch=accepted.epoch,
        message_id=accepted.message_id,
        message=_stored(message, accepted) if is_new else None,
        reply_to=reply_to,
    )


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
