"""Messages as they come to a host: stored first, then told."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from actors.codec import Envelope, EnvelopeKind
from actors.ports import WriterPort
from benchmarks.parts.known_conversations import CONTENT_CHARACTERS
from benchmarks.parts.lone_host import INGRESS
from storage.codec import decode_results, encode_batch
from storage.records import Accepted, AcceptOutcome, NewMessage, StoredMessage

__all__ = ["stored_messages"]

BATCH = 500


async def stored_messages(writer: WriterPort, conversation_ids: Sequence[str]) -> list[Envelope]:
    """Store one message for each of the conversations; return what the host is to be told."""
    new = [
        NewMessage(
            conversation_id=conversation_id,
            message_id=str(uuid.uuid4()),
            job_id=str(uuid.uuid4()),
            sender_id="somebody",
            sender_type="user",
            content="q" * CONTENT_CHARACTERS,
            timestamp=1_700_000_001.0,
            bot_id="default",
        )
        for conversation_id in conversation_ids
    ]
    envelopes: list[Envelope] = []
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]
        results = decode_results(await writer.execute(encode_batch(batch)))
        for message, accepted in zip(batch, results, strict=True):
            envelopes.append(_envelope(message, accepted))
    return envelopes


def _envelope(message: NewMessage, accepted: object) -> Envelope:
    if not isinstance(accepted, Accepted) or accepted.outcome is not AcceptOutcome.ACCEPTED:
        raise RuntimeError(f"the message was not accepted: {accepted}")
    return Envelope(
        conversation_id=message.conversation_id,
        kind=EnvelopeKind.MESSAGE,
        epoch=accepted.epoch,
        message_id=accepted.message_id,
        reply_to=INGRESS,
        message=StoredMessage(
            message_id=accepted.message_id,
            job_id=accepted.job_id,
            seq=accepted.seq,
            previous_seq=accepted.previous_seq,
            sender_id=message.sender_id,
            sender_type=message.sender_type,
            content=accepted.content,
            timestamp=message.timestamp or 0.0,
            accepted_at=accepted.accepted_at,
            bot_id=message.bot_id,
        ),
    )
