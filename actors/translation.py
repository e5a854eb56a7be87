"""Between what is stored and what the rules of a conversation work with."""

from __future__ import annotations

import msgspec

from actors.bot_config import BotConfigService
from actors.conversation import BusyPolicy, Line, Message, Policy
from actors.conversation.outbox import Delivery
from storage.delivery_records import StoredDelivery
from storage.effective_bot import EffectiveBot
from storage.records import ContextEntry, StoredMessage

__all__ = ["PolicyBook", "context_json", "delivery_of", "lines_of", "message_of"]


class _Said(msgspec.Struct):
    role: str
    content: str


_said = msgspec.json.Decoder(list[_Said])
_encoder = msgspec.json.Encoder()


class PolicyBook:
    """The policy of each bot, made anew when its configuration changes."""

    def __init__(self, bots: BotConfigService) -> None:
        self._bots = bots
        self._policies: dict[str, tuple[EffectiveBot, Policy]] = {}

    def policy_of(self, bot_id: str) -> Policy:
        """Return the policy that holds for a bot now."""
        bot = self._bots.get(bot_id)
        known = self._policies.get(bot.bot_id)
        if known is not None and known[0] is bot:
            return known[1]
        policy = _policy(bot)
        self._policies[bot.bot_id] = (bot, policy)
        return policy


def _policy(bot: EffectiveBot) -> Policy:
    return Policy(
        bot_id=bot.bot_id,
        enabled=bot.enabled,
        busy_policy=BusyPolicy(bot.busy_policy),
        debounce_seconds=bot.debounce_seconds,
        debounce_max_seconds=bot.debounce_max_seconds,
        context_messages=bot.context_messages,
        fallback_message=bot.fallback_message,
        yield_to_agent=bot.yield_to_agent,
        silent_after_transfer=bot.after_transfer == "silent",
        handoff_timeout_seconds=bot.handoff_timeout_seconds,
    )


def message_of(stored: StoredMessage, policies: PolicyBook) -> Message:
    """Return a stored message as the rules see it, with the policy that holds now."""
    context = None
    if stored.context is not None:
        context = tuple(Line(it.role, it.content) for it in _said.decode(stored.context))
    return Message(
        message_id=stored.message_id,
        job_id=stored.job_id,
        seq=stored.seq,
        sender_type=stored.sender_type,
        sender_id=stored.sender_id,
        content=stored.content,
        timestamp=stored.timestamp,
        accepted_at=stored.accepted_at,
        policy=policies.policy_of(stored.bot_id),
        metadata=stored.metadata,
        attachments=stored.attachments,
        context=context,
        context_characters=len(stored.context or ""),
        turn_job_id=stored.turn_job_id,
        previous_seq=stored.previous_seq,
    )


def lines_of(entries: list[ContextEntry] | None) -> tuple[Line, ...] | None:
    """Return stored lines of context as the rules see them."""
    return None if entries is None else tuple(Line(it.role, it.content) for it in entries)


def context_json(lines: tuple[Line, ...]) -> str:
    """Encode a context as the AI gets it: ``[{"role", "content"}, ...]``."""
    return _encoder.encode([_Said(it.role, it.content) for it in lines]).decode()


def delivery_of(stored: StoredDelivery) -> Delivery:
    """Return a stored delivery as the rules see it."""
    return Delivery(
        job_id=stored.job_id,
        bot_id=stored.bot_id,
        body=stored.body,
        message_ids=tuple(stored.message_ids),
        action_count=stored.action_count,
        attempts=stored.attempts,
    )
