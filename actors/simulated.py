"""An AI and a platform built in, so that everything runs before either is configured."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections import deque
from dataclasses import dataclass
from itertools import islice

import orjson

from actors.actions import Action, send_message
from actors.ai_answer import AiAnswer, AiCall
from actors.platform import DeliveryAttempt
from storage.delivery_records import DeliveryResult
from storage.effective_bot import EffectiveBot
from storage.metrics import AI_LATENCY

__all__ = ["SimulatedAi", "SimulatedPlatform"]

MAX_ECHO_LENGTH = 1000
MAX_DELIVERIES = 1000
MAX_DELIVERY_BYTES = 33_554_432
"""Of all deliveries kept together."""

# Matched as whole words in the composed, case-folded text.
WANTS_PERSON = re.compile(r"\b(agent|human|nhân viên|tư vấn viên)\b")
SAYS_GOODBYE = re.compile(r"\b(bye|goodbye|tạm biệt)\b")
SAYS_HELLO = re.compile(r"\b(hello|hi|xin chào|chào)\b")


class SimulatedAi:
    """Says back what it was told, after a while; a few words make it act (see ``_reply``)."""

    def __init__(self, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds

    async def answer(self, call: AiCall) -> AiAnswer:
        """Answer after ``answer_seconds``."""
        started = time.monotonic()
        await asyncio.sleep(self._answer_seconds)
        AI_LATENCY.observe(time.monotonic() - started)
        contents = [message.content for message in call.messages if message.content]
        intent, text, action = _reply(contents)
        actions = [send_message(text)] + ([action] if action else [])
        return AiAnswer(
            response_text=text,
            intent=intent,
            confidence=1.0,
            entities="{}",
            model_used="simulated",
            actions=actions,
            processing_time_ms=(time.monotonic() - started) * 1000,
        )


@dataclass(frozen=True, slots=True)
class _Delivery:
    received_at: float
    idempotency_key: str
    conversation_id: str | None
    body: str
    size_bytes: int


class SimulatedPlatform:
    """Takes every delivery and keeps the latest ones."""

    def __init__(self) -> None:
        self._deliveries: deque[_Delivery] = deque()
        self._size_bytes = 0

    async def deliver(self, job_id: str, body: str, bot: EffectiveBot) -> DeliveryAttempt:
        """Keep a delivery."""
        del bot  # one place for all bots
        size = len(body.encode())
        self._deliveries.append(_Delivery(time.time(), job_id, _conversation_of(body), body, size))
        self._size_bytes += size
        while len(self._deliveries) > MAX_DELIVERIES or self._size_bytes > MAX_DELIVERY_BYTES:
            self._size_bytes -= self._deliveries.popleft().size_bytes
        return DeliveryAttempt(DeliveryResult.SENT)

    def erase(self, conversation_id: str) -> None:
        """Forget what was delivered of a conversation."""
        kept = [it for it in self._deliveries if it.conversation_id != conversation_id]
        if len(kept) < len(self._deliveries):
            self._deliveries = deque(kept)
            self._size_bytes = sum(it.size_bytes for it in kept)

    def deliveries(self, limit: int = MAX_DELIVERIES) -> list[dict[str, object]]:
        """Return the latest ones, newest first: ``received_at``, ``idempotency_key``, ``body``."""
        return [
            {
                "received_at": delivery.received_at,
                "idempotency_key": delivery.idempotency_key,
                "body": orjson.loads(delivery.body),
            }
            for delivery in islice(reversed(self._deliveries), limit)
        ]


def _conversation_of(body: str) -> str | None:
    document = orjson.loads(body)
    return document.get("conversation_id") if isinstance(document, dict) else None


def _reply(contents: list[str]) -> tuple[str, str, Action | None]:
    """Return intent, text and what else to do."""
    words = unicodedata.normalize("NFC", "\n".join(contents)).casefold()
    if WANTS_PERSON.search(words):
        data = '{"reason":"asked for a person"}'
        text = "I am handing you over to a colleague. One moment, please."
        return "transfer_to_agent", text, Action("transfer_to_agent", data)
    if SAYS_GOODBYE.search(words):
        text = "Goodbye! Write again whenever you like."
        return "goodbye", text, Action("end_conversation", '{"reason":"said goodbye"}')
    if not contents:
        return "attachment", "Thank you, I have received your attachment.", None
    intent = "greeting" if SAYS_HELLO.search(words) else "echo"
    greeting = "Hello! " if intent == "greeting" else ""
    return intent, greeting + _echo(contents), None


def _echo(contents: list[str]) -> str:
    said = " / ".join(contents)
    if len(said) > MAX_ECHO_LENGTH:
        said = said[:MAX_ECHO_LENGTH] + "…"
    count = len(contents)
    if count == 1:
        return f"You wrote: “{said}”."
    return f"You wrote {count} messages, and this one answer is for all of them: “{said}”."
