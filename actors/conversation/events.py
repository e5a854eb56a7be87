"""What can happen to a conversation.

An event that answers an effect carries the numbers that the effect had (``attempt``, ``call``,
``epoch``, ``job_id``), so that an answer to something given up meanwhile is known as stale and
ignored.
"""

from __future__ import annotations

from actors.conversation.message import Line, Message
from actors.conversation.outbox import Delivery
from actors.conversation.terms import Answer as Answer  # noqa: PLC0414 -- exported here too
from actors.conversation.terms import Fate as Fate  # noqa: PLC0414 -- exported here too
from actors.conversation.terms import LeaseKind as LeaseKind  # noqa: PLC0414 -- exported here too
from actors.conversation.value import value


@value
class MessageReceived:
    """A stored message came for the first time. ``epoch`` is the one that its acceptance saw."""

    message: Message
    epoch: int


@value
class Poked:
    """There may be work: a message that was stored before, or (None) a delivery that is due."""

    message_id: str | None
    epoch: int
    job_id: str | None = None
    """The message's own job, where that is known."""


@value
class LeaseGranted:
    """The lease is held under ``lock_id``; Redis's copy of the context came with it."""

    attempt: int
    lock_id: str
    trusted_until: float
    """The moment the request was sent + TTL - a margin."""
    cached_position: int | None = None
    cached_context: tuple[Line, ...] = ()


@value
class LeaseRefused:
    """Another owner has it. ``reachable``: it is a live host that the messages can be handed to."""

    attempt: int
    owner: str
    retry_at: float
    reachable: bool


@value
class LeaseUnknown:
    """Redis did not answer; the database has to guard the ownership."""

    attempt: int
    lock_id: str


@value
class LeaseRenewed:
    """The lease holds until ``trusted_until``."""

    lock_id: str
    kind: LeaseKind
    trusted_until: float


@value
class LeaseLost:
    """The lease is held by somebody else, or by nobody."""

    lock_id: str


@value
class Claimed:
    """The epoch is ours; this is what the database holds.

    ``context`` None: the cached one holds.
    """

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
    attempts: int = 0
    """Which attempt at the first of the messages this is, since a turn was last committed."""
    last_seq: int = 0
    """The message that was accepted last, of those that the claim could see."""


@value
class ClaimStale:
    """The epoch was not the one expected."""

    attempt: int
    epoch: int


@value
class ClaimRefused:
    """By the database another owner has it until ``retry_at``."""

    attempt: int
    retry_at: float


@value
class ClaimMissing:
    """The database does not know the conversation."""

    attempt: int


@value
class PendingFetched:
    """The pending messages that the database holds. ``complete``: these are all."""

    attempt: int
    messages: tuple[Message, ...]
    complete: bool


@value
class TurnStarted:
    """Whether the turn's messages are marked in the database."""

    job_id: str
    call: int
    fate: Fate


@value
class AiAnswered:
    """The AI gave a usable answer."""

    job_id: str
    call: int
    answer: Answer


@value
class AiFailed:
    """The AI gave no usable answer after all attempts."""

    job_id: str
    call: int
    reason: str
    error: str | None = None
    """What happened, for a person."""


@value
class TurnCommitted:
    """``delivery`` None: nothing is to be sent."""

    job_id: str
    call: int
    fate: Fate
    delivery: Delivery | None = None
    result: str | None = None


@value
class MessageSettled:
    """Whether the end of a message that no turn answers is written down."""

    epoch: int
    message_id: str
    fate: Fate


@value
class DeliveryCounted:
    """Whether a delivery attempt is counted in the database."""

    epoch: int
    job_id: str
    fate: Fate


@value
class DeliveryEnded:
    """One attempt ended. ``result``: sent, retry (then at ``retry_at``) or dead."""

    epoch: int
    job_id: str
    result: str
    actions_executed: int = 0
    retry_at: float = 0.0
    error: str | None = None


@value
class DeliveryRecorded:
    """Whether the end of a delivery attempt is written down; the rest repeats it."""

    epoch: int
    job_id: str
    result: str
    fate: Fate
    actions_executed: int = 0
    retry_at: float = 0.0


@value
class JobCancelled:
    """The job was cancelled in the database."""

    job_id: str


@value
class ConversationReset:
    """An operator raised its epoch: what is held is void, what waits is to be done afresh."""


@value
class Reopened:
    """Something that was decided is pending again in the database: begin afresh after this turn."""


@value
class Released:
    """The host gives the conversation up, because it stops or the shard has moved."""


@value
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
    | Reopened
    | Released
    | Tick
)
