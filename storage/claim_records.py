"""Who owns a conversation: records of claims, as in ``storage.records``."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from storage.delivery_records import StoredDelivery
from storage.records import ContextEntry, LeaseKind, Record, StoredMessage


class ClaimRequest(Record, frozen=True):
    """Ask to own a conversation: its epoch goes up by one if it is still ``epoch``."""

    conversation_id: str
    epoch: int
    owner: str
    cluster: str
    lock_id: str
    lease_kind: LeaseKind
    owner_ttl_seconds: float
    context_limit: int
    message_limit: int
    cached_position: int | None = None
    """Position of the context that the caller has from Redis; if it is current, none is sent."""
    take_over_from: str | None = None
    """An owner known to be dead: what it holds by the database is not waited for."""


class ClaimOutcome(StrEnum):
    """What became of a claim."""

    CLAIMED = "claimed"
    STALE = "stale"
    """The epoch is not the one expected; ``epoch`` is the one that holds."""
    REFUSED = "refused"
    """``owner`` of ``cluster`` holds it by the database for ``retry_in_seconds`` more."""
    MISSING = "missing"
    """There is no such conversation (erased, or never stored)."""


class Claim(Record, frozen=True):
    """Answer to a ``ClaimRequest``. Beyond ``epoch`` the fields hold only when it was claimed."""

    outcome: ClaimOutcome
    epoch: int = 0
    owner: str | None = None
    cluster: str | None = None
    retry_in_seconds: float = 0.0
    status: str = "active"
    position: int = 0
    last_activity_at: float = 0.0
    context: list[ContextEntry] | None = None
    """Oldest first. None when ``cached_position`` was current."""
    messages: list[StoredMessage] = msgspec.field(default_factory=list)
    """Pending messages by order of acceptance, at most ``message_limit``."""
    outbox: list[StoredDelivery] = msgspec.field(default_factory=list)
    """Deliveries not done yet, in order of their commits."""
    has_more: bool = False
    """Whether more messages are pending than were sent."""
    attempts: int = 0
    """Which attempt at the first pending message this claim begins, as far as is known; 0: nothing
    is pending. No turn of the conversation was committed since the first of them."""
    last_seq: int = 0
    """``seq`` of the message that was accepted last; all before it that are pending are here."""


class OwnerRenewal(Record, frozen=True):
    """Extend ``owner_until`` of a conversation; 0 seconds gives it up."""

    conversation_id: str
    epoch: int
    owner: str
    lease_kind: LeaseKind
    owner_ttl_seconds: float
