"""Committed answers on their way to the platform, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from actors.conversation.turn import Newer


@dataclass(slots=True)
class Delivery:
    """One answer for the platform. ``body`` and ``result`` are opaque to the rules."""

    job_id: str
    bot_id: str
    body: str
    message_ids: tuple[str, ...]
    action_count: int = 0
    """How many actions the body holds."""
    attempts: int = 0
    result: str | None = None
    newer: list[Newer] = field(default_factory=list)
    failure: str | None = None
    """Why the turn failed, where the body is a fallback message."""
    is_answered: bool = False
    """Whether its callers have been told (always so for one that an earlier owner committed)."""


class OutboxState(Enum):
    """What the first delivery of the outbox is doing."""

    EMPTY = "empty"
    COUNTING = "counting"
    """The attempt is being counted in the database, before it is made."""
    SENDING = "sending"
    RECORDING = "recording"
    """How the attempt ended is being written down."""
    WAITING = "waiting"
    """The next attempt is due at ``retry_at``."""


class Outbox:
    """The deliveries of a conversation; only the first is ever tried."""

    __slots__ = ("_deliveries", "characters", "retry_at", "state")

    def __init__(self) -> None:
        # A few at most. An empty deque would be a fifth of what an idle conversation takes.
        self._deliveries: list[Delivery] = []
        self.state = OutboxState.EMPTY
        self.retry_at: float | None = None
        self.characters = 0
        """How long the bodies are, together."""

    def __len__(self) -> int:
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries)

    @property
    def first(self) -> Delivery | None:
        """The delivery whose turn it is."""
        return self._deliveries[0] if self._deliveries else None

    @property
    def is_moving(self) -> bool:
        """Whether an attempt is under way (so the conversation must stay in memory)."""
        return self.state in (OutboxState.COUNTING, OutboxState.SENDING, OutboxState.RECORDING)

    def add(self, delivery: Delivery) -> None:
        """Append a delivery."""
        self._deliveries.append(delivery)
        self.characters += len(delivery.body)

    def drop(self, job_id: str) -> Delivery | None:
        """Take out the delivery of a job, wherever it stands."""
        found = next((d for d in self._deliveries if d.job_id == job_id), None)
        if found is not None:
            self._deliveries.remove(found)
            self.characters -= len(found.body)
        return found

    def clear(self) -> None:
        """Forget all; the database keeps them."""
        self._deliveries.clear()
        self.characters = 0
        self.state = OutboxState.EMPTY
        self.retry_at = None
