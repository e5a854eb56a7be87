"""What is sent to an AI service, and the strict reading of what it answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from actors.action_data import MAX_MESSAGE_LENGTH
from actors.actions import Action, classify
from storage.effective_bot import EffectiveBot
from storage.json_values import NotStorable, json_text, text_problem

__all__ = [
    "AiAnswer",
    "AiCall",
    "AiFailed",
    "AiMessage",
    "FailureReason",
    "UnusableAnswer",
    "read_answer",
    "request_body",
]

MAX_ENTITIES_BYTES = 262_144
MAX_NAME_LENGTH = 255

FailureReason: TypeAlias = Literal["ai_timeout", "ai_error", "ai_invalid_response"]


@dataclass(frozen=True, slots=True)
class AiMessage:
    """One message of the turn."""

    message_id: str
    content: str
    timestamp: float
    sender_id: str
    attachments: str | None = None
    """JSON list."""


@dataclass(frozen=True, slots=True)
class AiCall:
    """All that an AI is told for one turn."""

    conversation_id: str
    job_id: str
    messages: list[AiMessage]
    context: str
    """JSON list of ``{"role", "content"}``: what was said before this turn, oldest first."""
    bot: EffectiveBot
    metadata: str | None = None
    """JSON object."""
    first_attempt: int = 1
    """Number of the first attempt, so that a job started again repeats no idempotency key."""


@dataclass(frozen=True, slots=True)
class AiAnswer:
    """A usable answer."""

    response_text: str
    intent: str | None = None
    confidence: float | None = None
    entities: str | None = None
    """JSON object."""
    model_used: str | None = None
    actions: list[Action] = field(default_factory=list)
    processing_time_ms: float = 0.0
    """From the call to the answer, attempts that failed included."""
    attempts: int = 1
    """How many were made."""

    def response_json(self) -> str:
        """Encode ``ai_response`` as clients and the platform see it."""
        entities = None if self.entities is None else orjson.Fragment(self.entities)
        return orjson.dumps(
            {
                "response_text": self.response_text,
                "intent": self.intent,
                "confidence": self.confidence,
                "entities": entities,
                "processing_time_ms": round(self.processing_time_ms, 3),
                "model_used": self.model_used,
            }
        ).decode()


class AiFailed(Exception):
    """The AI gave no usable answer after all attempts; ``reason`` is that of the last one."""

    def __init__(self, reason: FailureReason, detail: str, attempts: int) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: FailureReason = reason
        self.detail = detail
        """For an operator; quotes neither the request nor the answer."""
        self.attempts = attempts


class UnusableAnswer(ValueError):
    """The AI's answer cannot be used; the message says why and quotes none of it."""


def request_body(call: AiCall) -> bytes:
    """Encode the request; it is the same for every attempt."""
    return orjson.dumps(
        {
            "conversation_id": call.conversation_id,
            "job_id": call.job_id,
            "message": "\n".join(message.content for message in call.messages),
            "messages": [_describe(message) for message in call.messages],
            "message_ids": [message.message_id for message in call.messages],
            "context": orjson.Fragment(call.context),
            "bot": orjson.Fragment(call.bot.ai_description),
            "metadata": orjson.Fragment(call.metadata or "{}"),
        }
    )


def read_answer(body: bytes) -> AiAnswer:
    """Parse an answer, its actions one by one. Raises ``UnusableAnswer``."""
    answer = _parse(body)
    if not isinstance(answer, dict):
        raise UnusableAnswer("is not an object")
    text = _text(answer, "response_text", MAX_MESSAGE_LENGTH)
    if text is None:
        raise UnusableAnswer("response_text is missing")
    actions = answer.get("actions")
    if actions is not None and not isinstance(actions, list):
        raise UnusableAnswer("actions is not a list")
    return AiAnswer(
        response_text=text,
        intent=_text(answer, "intent", MAX_NAME_LENGTH),
        confidence=_confidence(answer),
        entities=_entities(answer),
        model_used=_text(answer, "model_used", MAX_NAME_LENGTH),
        actions=classify(actions or [], text),
    )


def _describe(message: AiMessage) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "content": message.content,
        "timestamp": message.timestamp,
        "sender_id": message.sender_id,
        "attachments": orjson.Fragment(message.attachments or "[]"),
    }


def _parse(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # The standard parser also takes NaN and lone surrogates: an action that holds one is rejected
    # alone then, and does not take the whole answer with it.
    try:
        parsed: object = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer("is not JSON") from error
    return parsed


def _text(answer: dict[str, Any], name: str, max_length: int) -> str | None:
    value = answer.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnusableAnswer(f"{name} is not a string")
    if len(value) > max_length:
        raise UnusableAnswer(f"{name} is longer than {max_length} characters")
    if problem := text_problem(value):
        raise UnusableAnswer(f"{name} {problem}")
    return value


def _confidence(answer: dict[str, Any]) -> float | None:
    value = answer.get("confidence")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableAnswer("confidence is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UnusableAnswer("confidence is not finite")
    return number


def _entities(answer: dict[str, Any]) -> str | None:
    value = answer.get("entities")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UnusableAnswer("entities is not an object")
    try:
        return json_text(value, MAX_ENTITIES_BYTES)
    except NotStorable as problem:
        raise UnusableAnswer(f"entities {problem}") from problem
