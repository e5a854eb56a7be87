"""Where a conversation stands."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """What the conversation is doing; the delivery of committed answers goes on beside it."""

    PASSIVE = "passive"
    """Nothing is known and nothing is held."""
    ACQUIRING = "acquiring"
    """The lease has been asked for."""
    CLAIMING = "claiming"
    """The lease is held; the epoch is being raised in the database."""
    BLOCKED = "blocked"
    """Somebody else owns it, or it was lost; asked for again at ``wake_at``."""
    FENCED = "fenced"
    """The epoch moved on under us: left alone for one lease time."""
    IDLE = "idle"
    DEBOUNCING = "debouncing"
    """A burst is being gathered."""
    STARTING = "starting"
    """The turn's messages are being marked in the database."""
    CALLING = "calling"
    """The AI has been asked."""
    COMMITTING = "committing"

    # By identity, as they compare: Enum's own is a function in Python, and each event looks phases
    # up several times.
    __hash__ = object.__hash__


OWNED = frozenset({Phase.IDLE, Phase.DEBOUNCING, Phase.STARTING, Phase.CALLING, Phase.COMMITTING})
"""Phases in which the conversation is ours."""

IN_TURN = frozenset({Phase.STARTING, Phase.CALLING, Phase.COMMITTING})
"""Phases in which a turn is running."""
