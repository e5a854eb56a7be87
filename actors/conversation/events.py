"""What can happen to a conversation.

An event that answers an effect carries the number that the effect had (``attempt``, ``call``,
``job_id``), so that an answer to something given up meanwhile is known as stale and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from actors.conversation.message import Line, Message
from actors.conversation.outbox import Delivery


class LeaseKind(StrEnum):
    """What guards the ownership."""

    REDIS = "redis"
    DATABASE = "database"


class Fate(StrEnum):
    """How a fenced write ended."""

    DONE = "done"
    FENCED = "fenced"
    CANCELLED = "cancelled"
    STALE = "stale"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the AI answered, as far as the rules need it; ``payload`` is opaque to them."""

    reply: str
    payload: object
    transfers: bool = False
    """It hands the conversation over to a person."""
    ends: bool = False
    """It ends the conversation."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A stored message came for the first time. ``epoch`` is the one that its acceptance saw."""

    message: Message
    epoch: int


@dataclass(frozen=True, slots=True)
class Poked:
    """There may be work: a message that was stored before, or (None) a delivery that is due."""

    message_id: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    attempt: int
    lock_id: str
    trusted_until: float
    """The moment the request was sent + TTL - a margin."""
    cached_position: int | None = None
    cached_context: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """Another owner has it. ``reachable``: it is a live host that the messages can be handed to."""

    attempt: int
    owner: str
    retry_at: float
    reachable: bool


@dataclass(frozen=True, slots=True)
class LeaseUnknown:
    """Redis did not answer; the database has to guard the ownership."""

    attempt: int
    lock_id: str


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    lock_id: str
    kind: LeaseKind
    trusted_until: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    lock_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The epoch is ours; this is what the database holds. ``context`` None: the cached one holds."""

    attempt: int
    epoch: int
    trusted_until: float
    status: str
    position: int
    last_activity_at: float
    context: tuple[Line, ...] | None
    messages: tuple[Message, ...]
    deliveries: tuple[tuple[Delivery, float], ...]
    """With the time at which each may be tried next."""
    has_more: bool


@dataclass(frozen=True, slots=True)
class ClaimStale:
    """The epoch was not the one expected."""

    attempt: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """By the database another owner has it until ``retry_at``."""

    attempt: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class ClaimMissing:
    """The database does not know the conversation."""

    attempt: int


@dataclass(frozen=True, slots=True)
class PendingFetched:
    """The pending messages that the database holds. ``complete``: these are all."""

    attempt: int
    messages: tuple[Message, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class TurnStarted:
    job_id: str
    call: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class AiAnswered:
    job_id: str
    call: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class AiFailed:
    job_id: str
    call: int
    reason: str


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """``delivery`` None: nothing is to be sent."""

    job_id: str
    call: int
    fate: Fate
    delivery: Delivery | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class MessageSettled:
    message_id: str
    fate: Fate


@dataclass(frozen=True, slots=True)
class DeliveryCounted:
    job_id: str
    fate: Fate


@dataclass(frozen=True, slots=True)
class DeliveryEnded:
    """One attempt ended. ``result``: sent, retry (then at ``retry_at``) or dead."""

    job_id: str
    result: str
    actions_executed: int = 0
    retry_at: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRecorded:
    job_id: str
    result: str
    fate: Fate
    actions_executed: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class JobCancelled:
    """The job was cancelled in the database."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ConversationReset:
    """Its epoch was raised by an operator: what is held is void, what waits is to be done afresh."""


@dataclass(frozen=True, slots=True)
class Released:
    """The host gives the conversation up (it stops, or the shard moves)."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; something may be due."""


Event = (
    MessageReceived
    | Poked
    | LeaseGranted
    | LeaseRefused
    | LeaseUnknown
    | LeaseRenewed
    | LeaseLost
    | Claimed
    | ClaimStale
    | ClaimRefused
    | ClaimMissing
    | PendingFetched
    | TurnStarted
    | AiAnswered
    | AiFailed
    | TurnCommitted
    | MessageSettled
    | DeliveryCounted
    | DeliveryEnded
    | DeliveryRecorded
    | JobCancelled
    | ConversationReset
    | Released
    | Tick
)
