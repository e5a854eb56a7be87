"""Messages as they come to a host: stored first, then told."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from actors.codec import Envelope
from actors.envelopes import envelope_of
from actors.ports import WriterPort
from benchmarks.parts.known_conversations import CONTENT_CHARACTERS
from benchmarks.parts.lone_host import INGRESS
from storage.codec import decode_results, encode_batch
from storage.records import Accepted, AcceptOutcome, NewMessage
from storage.time_ordered_id import time_ordered_id

__all__ = ["new_message", "stored_messages"]

BATCH = 500


def new_message(conversation_id: str) -> NewMessage:
    """Make a message with an id of its own."""
    return NewMessage(
        conversation_id=conversation_id,
        message_id=str(uuid.uuid4()),
        job_id=time_ordered_id(),
        sender_id="somebody",
        sender_type="user",
        content="q" * CONTENT_CHARACTERS,
        timestamp=1_700_000_001.0,
        bot_id="default",
    )


async def stored_messages(writer: WriterPort, conversation_ids: Sequence[str]) -> list[Envelope]:
    """Store one message for each of the conversations; return what the host is to be told."""
    new = [new_message(conversation_id) for conversation_id in conversation_ids]
    envelopes: list[Envelope] = []
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]
        results = decode_results(await writer.execute(encode_batch(batch)))
        for message, accepted in zip(batch, results, strict=True):
            if not isinstance(accepted, Accepted) or accepted.outcome is not AcceptOutcome.ACCEPTED:
                raise RuntimeError(f"the message was not accepted: {accepted}")
            envelopes.append(envelope_of(message, accepted, INGRESS, hears_start=False))
    return envelopes
