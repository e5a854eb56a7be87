"""From a validated request to the message that is stored."""

from __future__ import annotations

import hashlib
import uuid

import orjson

from ingress.errors import ValidationFailed
from ingress.history import parse_history
from ingress.schemas import EnhancedMessageRequest, Metadata, PancakeMessageRequest
from ingress.strict_json import text_problem
from storage.bots import DEFAULT_BOT_ID
from storage.records import NewMessage
from storage.time_ordered_id import time_ordered_id

__all__ = ["chat_message", "check_idempotency_key", "enhanced_message"]

_LONGEST_KEY = 255
_KEY_HEADER = "Idempotency-Key"
_ANONYMOUS = "user"
"""Sender of a chat message whose resources name no ``user_id``."""


def enhanced_message(request: EnhancedMessageRequest) -> NewMessage:
    """Return the message of a request to ``enhanced-handle-message``."""
    return NewMessage(
        conversation_id=request.conversation_id,
        message_id=request.message_id,
        job_id=time_ordered_id(),
        sender_id=request.sender_id,
        sender_type=request.sender_type,
        content=request.message_content,
        timestamp=request.timestamp,
        bot_id=_bot_id(request.metadata),
        metadata=_json(request.metadata),
        attachments=orjson.dumps(request.attachments).decode() if request.attachments else None,
    )


def chat_message(request: PancakeMessageRequest, idempotency_key: str | None) -> NewMessage:
    """Return the new message of a history. Raises ``ValidationFailed``."""
    history = parse_history(request.history)
    conversation_id = request.conversation_id or _new_conversation_id(idempotency_key)
    digest = None
    if idempotency_key is None:
        identity = f"{conversation_id}\0{request.history}".encode()
        digest = hashlib.sha256(identity).hexdigest()
    return NewMessage(
        conversation_id=conversation_id,
        message_id=idempotency_key,
        job_id=time_ordered_id(),
        sender_id=_sender_id(request),
        sender_type="user",
        content=history.content,
        timestamp=None,  # clocks of different machines must not order messages
        bot_id=_bot_id(request.resources),
        metadata=_json(request.resources),
        digest=digest,
        parts=history.new_parts,
        context=orjson.dumps(history.context).decode(),
    )


def check_idempotency_key(value: bytes | None) -> str | None:
    """Return the key from its header. Raises ``ValidationFailed``."""
    if value is None:
        return None
    try:
        key = value.decode()
    except UnicodeDecodeError:
        key = value.decode("latin-1")
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ValidationFailed.of(_KEY_HEADER, f"must have 1 to {_LONGEST_KEY} characters")
    if problem := text_problem(key):
        raise ValidationFailed.of(_KEY_HEADER, problem)
    return key


def _new_conversation_id(idempotency_key: str | None) -> str:
    """Return an id that the same key always leads to."""
    if idempotency_key is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, idempotency_key))


def _bot_id(metadata: Metadata | None) -> str:
    return (metadata.bot_id if metadata else None) or DEFAULT_BOT_ID


def _json(metadata: Metadata | None) -> str | None:
    if metadata is None:
        return None
    return orjson.dumps(metadata.model_dump(exclude_unset=True)).decode()


def _sender_id(request: PancakeMessageRequest) -> str:
    extra = (request.resources.model_extra if request.resources else None) or {}
    user_id = extra.get("user_id")
    if isinstance(user_id, str) and 0 < len(user_id) <= _LONGEST_KEY:
        return user_id
    return _ANONYMOUS
