"""What events and effects both speak of."""

from __future__ import annotations

from enum import StrEnum

from actors.conversation.value import value


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


@value
class Answer:
    """What the AI answered, as far as the rules need it; ``payload`` is opaque to them."""

    reply: str
    payload: object
    transfers: bool = False
    """It hands the conversation over to a person."""
    ends: bool = False
    """It ends the conversation."""
