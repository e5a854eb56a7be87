"""Every metric of the product, in one place. Each process has its own; it counts what it does.

Names begin with ``chat_orchestrator_`` and end with their unit. Ray puts ``ray_`` before them.
"""

from __future__ import annotations

import msgspec

from storage.codec import OperationKind
from storage.delivery_records import DeliveryResult
from storage.metric_types import Counter, Figures, Gauge, Histogram, Metric

__all__ = [
    "ACCEPTED_MESSAGES",
    "ADDED_LATENCY",
    "AI_ABANDONED",
    "AI_FAILURES",
    "AI_LATENCY",
    "BUSY_CONVERSATIONS",
    "CONVERSATIONS",
    "DATABASE_REACHABLE",
    "DEAD_LETTERS",
    "DELIVERIES",
    "DELIVERY_LATENCY",
    "DUPLICATE_MESSAGES",
    "FENCED_COMMITS",
    "HEALTH",
    "HOST",
    "HOSTS",
    "HOSTS_WANTED",
    "HOST_RESTARTS",
    "HTTP_RESPONSES",
    "INGRESS",
    "LEASES_HELD",
    "LEASES_LOST",
    "LEASES_REFUSED",
    "LOOP_LAG",
    "MAILBOX_MESSAGES",
    "MESSAGES_IN_FLIGHT",
    "METRICS",
    "PEER_CALLS",
    "PREFIX",
    "QUEUED_WRITES",
    "REDIS_REACHABLE",
    "REFUSED_MESSAGES",
    "ROUTING_CHANGES",
    "STUCK_CONVERSATIONS",
    "SUPERVISOR",
    "SWEEPS",
    "SWEPT_CONVERSATIONS",
    "TURNS",
    "TURNS_RUNNING",
    "WRITER",
    "WRITE_BATCHES",
    "WRITE_FAILURES",
    "WRITE_LATENCY",
    "decode_figures",
    "encode_figures",
]

PREFIX = "chat_orchestrator_"

_KINDS = [kind.value for kind in OperationKind]
_LEASES = ("redis", "database")
_STATUSES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 499, 500, 503)

_ADDED = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
_WRITES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)


def _counter(name: str, help_text: str, label: str | None = None, *values: str) -> Counter:
    return Counter(PREFIX + name, help_text, label, values)


def _gauge(name: str, help_text: str, label: str | None = None, *values: str) -> Gauge:
    return Gauge(PREFIX + name, help_text, label, values)


def _histogram(
    name: str, help_text: str, bounds: tuple[float, ...], label: str | None = None, *values: str
) -> Histogram:
    return Histogram(PREFIX + name, help_text, bounds, label, values)


# Ingress ------------------------------------------------------------------------------------------
ACCEPTED_MESSAGES = _counter("messages_accepted_total", "Messages stored, and so to be decided.")
DUPLICATE_MESSAGES = _counter("messages_duplicate_total", "Messages that were stored before.")
REFUSED_MESSAGES = _counter(
    "messages_refused_total",
    "Messages not accepted: too much work, the database away, or a row that it cannot hold.",
    "reason",
    *("overloaded", "storage_unavailable", "not_storable"),
)
MESSAGES_IN_FLIGHT = _gauge("messages_in_flight", "Messages being stored or waited for.")
ADDED_LATENCY = _histogram(
    "added_latency_seconds",
    "From a message's arrival to its answer, less the time of the AI and of the delivery.",
    _ADDED,
)
HTTP_RESPONSES = _counter(
    "http_responses_total", "Responses by status.", "status", *map(str, _STATUSES)
)
HEALTH = _gauge("health", "What GET /health says: 2 healthy, 1 degraded, 0 unhealthy.")
DATABASE_REACHABLE = _gauge("database_reachable", "1 where the database answers, else 0.")

# Hosts --------------------------------------------------------------------------------------------
TURNS = _counter(
    "turns_total",
    "Turns whose end was written down, by outcome.",
    "outcome",
    *("completed", "failed", "cancelled"),
)
TURNS_RUNNING = _gauge("turns_running", "Turns under way.")
AI_LATENCY = _histogram("ai_latency_seconds", "One attempt to have an AI answer.", _CALLS)
AI_FAILURES = _counter(
    "ai_failures_total",
    "Attempts that gave no usable answer.",
    "reason",
    *("ai_timeout", "ai_error", "ai_invalid_response"),
)
AI_ABANDONED = _counter(
    "ai_abandoned_total", "Calls that were given up: a restart, a cancel, or an agent's reply."
)
DELIVERY_LATENCY = _histogram("delivery_latency_seconds", "One attempt to deliver.", _CALLS)
DELIVERIES = _counter(
    "deliveries_total",
    "Attempts to deliver, by result: sent, to be tried again, or given up.",
    "result",
    *(it.value for it in DeliveryResult),
)
DEAD_LETTERS = _counter(
    "dead_letters_total",
    "Turns that failed for good, and answers the platform never took.",
    "kind",
    *("message", "delivery"),
)
FENCED_COMMITS = _counter(
    "fenced_commits_total", "Commits refused because another owner has claimed the conversation."
)
LEASES_HELD = _gauge("leases_held", "Conversations held, by what guards them.", "kind", *_LEASES)
LEASES_REFUSED = _counter(
    "leases_refused_total", "Conversations that another owner has.", "kind", *_LEASES
)
LEASES_LOST = _counter(
    "leases_lost_total", "Leases found gone when they were to be renewed.", "kind", *_LEASES
)
CONVERSATIONS = _gauge("conversations", "Conversations in memory.")
BUSY_CONVERSATIONS = _gauge("busy_conversations", "Conversations with anything to do.")
MAILBOX_MESSAGES = _gauge("mailbox_messages", "Messages that wait in memory for a turn.")

# Writers ------------------------------------------------------------------------------------------
WRITE_BATCHES = _histogram(
    "write_batch_operations", "Operations that were written together.", _SIZES, "kind", *_KINDS
)
WRITE_LATENCY = _histogram(
    "write_latency_seconds", "One transaction, waiting for rows included.", _WRITES, "kind", *_KINDS
)
WRITE_FAILURES = _counter(
    "write_failures_total", "Operations that the database did not take.", "kind", *_KINDS
)
QUEUED_WRITES = _gauge("queued_writes", "Operations that wait for a batch.", "kind", *_KINDS)

# Supervisor ---------------------------------------------------------------------------------------
SWEEPS = _counter(
    "sweeps_total", "Looks into the database for work nobody does.", "result", "done", "failed"
)
SWEPT_CONVERSATIONS = _counter("swept_conversations_total", "Conversations that a sweep routed.")
STUCK_CONVERSATIONS = _gauge(
    "stuck_conversations", "Turns that take too long, and messages without an owner (up to 100)."
)
HOSTS = _gauge("hosts", "Hosts that conversations are routed to.")
HOSTS_WANTED = _gauge("hosts_wanted", "Hosts that the machines of the cluster should have.")
HOST_RESTARTS = _counter("host_restarts_total", "Hosts that came back as another process.")
ROUTING_CHANGES = _counter("routing_changes_total", "New routing tables.")

# Every process ------------------------------------------------------------------------------------
PEER_CALLS = _counter(
    "actor_calls_total",
    "Calls to other actors, over a connection or, where there was none, by Ray.",
    "way",
    *("direct", "ray"),
)
LOOP_LAG = _histogram(
    "loop_lag_seconds", "How much later than it should the event loop woke up.", _LAGS
)
REDIS_REACHABLE = _gauge("redis_reachable", "1 where Redis answers, else 0.")

INGRESS: tuple[Metric, ...] = (
    ACCEPTED_MESSAGES,
    DUPLICATE_MESSAGES,
    REFUSED_MESSAGES,
    MESSAGES_IN_FLIGHT,
    ADDED_LATENCY,
    HTTP_RESPONSES,
    HEALTH,
    DATABASE_REACHABLE,
    REDIS_REACHABLE,
    PEER_CALLS,
    LOOP_LAG,
)
"""What an ingress has; so are the other processes named here."""
HOST: tuple[Metric, ...] = (
    TURNS,
    TURNS_RUNNING,
    AI_LATENCY,
    AI_FAILURES,
    AI_ABANDONED,
    DELIVERY_LATENCY,
    DELIVERIES,
    DEAD_LETTERS,
    FENCED_COMMITS,
    LEASES_HELD,
    LEASES_REFUSED,
    LEASES_LOST,
    CONVERSATIONS,
    BUSY_CONVERSATIONS,
    MAILBOX_MESSAGES,
    REDIS_REACHABLE,
    PEER_CALLS,
    LOOP_LAG,
)
WRITER: tuple[Metric, ...] = (
    WRITE_BATCHES,
    WRITE_LATENCY,
    WRITE_FAILURES,
    QUEUED_WRITES,
    LOOP_LAG,
)
SUPERVISOR: tuple[Metric, ...] = (
    SWEEPS,
    SWEPT_CONVERSATIONS,
    STUCK_CONVERSATIONS,
    HOSTS,
    HOSTS_WANTED,
    HOST_RESTARTS,
    ROUTING_CHANGES,
    PEER_CALLS,
    LOOP_LAG,
)
METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*INGRESS, *HOST, *WRITER, *SUPERVISOR)
}
"""All of them, by name."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Figures)


def encode_figures(figures: Figures) -> bytes:
    """Encode figures for another process."""
    return _encoder.encode(figures)


def decode_figures(data: bytes) -> Figures:
    """Undo ``encode_figures``; metrics that this release does not know are left out.

    Nothing is no figures.
    """
    figures = _decoder.decode(data) if data else {}
    return {name: series for name, series in figures.items() if name in METRICS}
