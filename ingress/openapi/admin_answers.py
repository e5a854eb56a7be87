"""What the endpoints for operators answer."""

from __future__ import annotations

from typing import Any, Literal

from actors.action_data import SUPPORTED_ACTION_TYPES
from ingress.openapi.answers import Answer, StorageBackend
from ingress.openapi.conversation_answers import ErasedCounts
from storage.bots import Bot
from storage.views import ConversationStatistics, PostgresStatistics, StuckConversation

__all__ = [
    "BotList",
    "CleanupAnswer",
    "DeadLetterList",
    "DeletedBot",
    "Deliveries",
    "OverviewAnswer",
    "RetriedAll",
    "RetriedLetterAnswer",
    "StatisticsAnswer",
    "SystemHealth",
]


class RemovedCounts(ErasedCounts):
    """The same, with leases of conversations that are not there."""

    orphaned_leases: int


class CleanupAnswer(Answer):
    """What was removed; in a dry run, which rows would have been."""

    success: Literal[True]
    dry_run: bool
    max_age_hours: float
    removed: RemovedCounts


class HealthStatistics(Answer):
    """Null while the database is away."""

    total_conversations: int | None
    active_ai_tasks: int | None
    stuck_conversations: int | None


class SystemHealth(Answer):
    """What works, and what does not get on."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: float
    statistics: HealthStatistics
    redis_status: Literal["connected", "disconnected"]
    postgres_status: Literal["connected", "disconnected"]
    storage_backend: StorageBackend
    stuck_conversations: list[StuckConversation]
    supported_action_types: list[Literal[SUPPORTED_ACTION_TYPES]]  # type: ignore[valid-type]


class StatisticsAnswer(Answer):
    """Figures."""

    timestamp: float
    conversations: ConversationStatistics
    redis_stats: dict[str, Any] | None
    postgres_stats: PostgresStatistics | None
    actors: list[dict[str, Any]]
    storage_backend: StorageBackend


class SummedMetric(Answer):
    """A metric, summed over all processes: by label value, a number or a histogram."""

    kind: Literal["counter", "gauge", "histogram"]
    bounds: list[float] | None
    values: dict[str, list[float]]


class OverviewAnswer(SystemHealth):
    """How everything is, in one look."""

    total_dead_letters: int | None
    actors: list[dict[str, Any]]
    figures: dict[str, SummedMetric]
    grafana_url: str | None


class Delivery(Answer):
    """What the simulated platform got once."""

    received_at: float
    idempotency_key: str
    body: Any


class Deliveries(Answer):
    """What it got, newest first."""

    deliveries: list[Delivery]


class DeadLetterAnswer(Answer):
    """A turn that failed for good, or an answer that the platform never took."""

    id: str
    kind: Literal["message", "delivery"]
    job_id: str
    conversation_id: str
    message_ids: list[str]
    reason: str | None
    error: str | None
    attempts: int
    created_at: float
    dead_letter_at: float


class DeadLetterList(Answer):
    """A page of dead letters, the last given up first."""

    total_dead_letters: int
    dead_letters: list[DeadLetterAnswer]
    next_cursor: str | None


class RetriedLetterAnswer(Answer):
    """What tries it again."""

    success: Literal[True]
    id: str
    kind: Literal["message", "delivery"]
    job_id: str
    status: Literal["queued", "pending"]


class RetriedCounts(Answer):
    """How many of each kind."""

    messages: int
    deliveries: int


class RetriedAll(Answer):
    """What is tried again."""

    success: Literal[True]
    retried: RetriedCounts


class BotList(Answer):
    """All bots."""

    bots: list[Bot]


class DeletedBot(Answer):
    """It is gone; its conversations have the default bot."""

    success: Literal[True]
    bot_id: str
