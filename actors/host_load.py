"""How much work a host has: kept up to date with every event, so that asking costs nothing."""

from __future__ import annotations

from typing import NamedTuple

from actors.conversation import Conversation, Phase
from actors.conversation.phase import IN_TURN, OWNED
from actors.conversation.terms import LeaseKind
from actors.seat import Seat

__all__ = ["MAX_CHARACTERS", "HostLoad", "is_idle"]

MAX_CHARACTERS = 134_217_728
"""Texts in the memory of one host, past which messages for it are refused."""
MANY_BUSY = 50
"""Conversations with work and not waiting for an AI, from which on calls go in larger batches."""

_TAKING = frozenset({Phase.ACQUIRING, Phase.CLAIMING})


class _Share(NamedTuple):
    """What one conversation adds."""

    busy: int = 0
    calling: int = 0
    turns: int = 0
    waiting_messages: int = 0
    characters: int = 0
    redis_leases: int = 0
    database_leases: int = 0


_NOTHING = _Share()
_TAKEN = _Share(busy=1)


class HostLoad:
    """Sums over all conversations of a host.

    ``busy`` counts the conversations with anything to do. It is what tells how much longer a new
    message would take: a conversation works at one turn at a time, however many messages it has.
    Those that only deliver, or wait for their platform, do not count: it may be dead.
    ``calling`` counts those of them that wait for an AI.
    """

    def __init__(self) -> None:
        self.busy = 0
        self.calling = 0
        self.turns = 0
        self.waiting_messages = 0
        self.characters = 0
        self.redis_leases = 0
        self.database_leases = 0
        self._shares: dict[str, _Share] = {}

    def busyness(self) -> float:
        """See ``storage.pace``; who waits for an AI has nothing under way here."""
        return (self.busy - self.calling) / MANY_BUSY

    def crowding(self) -> float:
        """How many conversations have work, as a share of very many."""
        return self.busy / MANY_BUSY

    def note(self, seat: Seat) -> None:
        """Take in how a conversation is now."""
        self._replace(seat.conversation_id, _share_of(seat.conversation))

    def forget(self, seat: Seat) -> None:
        """Take out a conversation that leaves memory."""
        self._replace(seat.conversation_id, _NOTHING)

    def is_busy(self, seat: Seat) -> bool:
        """Whether a conversation had anything to do when it was last noted."""
        return self._shares.get(seat.conversation_id, _NOTHING).busy > 0

    def _replace(self, conversation_id: str, new: _Share) -> None:
        old = self._shares.get(conversation_id, _NOTHING)
        if old == new:
            return
        self.busy += new.busy - old.busy
        self.calling += new.calling - old.calling
        self.turns += new.turns - old.turns
        self.waiting_messages += new.waiting_messages - old.waiting_messages
        self.characters += new.characters - old.characters
        self.redis_leases += new.redis_leases - old.redis_leases
        self.database_leases += new.database_leases - old.database_leases
        if new == _NOTHING:
            del self._shares[conversation_id]
        else:
            self._shares[conversation_id] = new


def is_idle(conversation: Conversation) -> bool:
    """Whether a conversation could leave memory now and nothing would wait for it."""
    return conversation.phase is Phase.IDLE and conversation.is_quiet


def _share_of(conversation: Conversation) -> _Share:
    phase = conversation.phase
    if phase not in OWNED:
        return _TAKEN if phase in _TAKING else _NOTHING
    in_database = int(conversation.lease_kind is LeaseKind.DATABASE)
    return _Share(
        int(conversation.is_working and not conversation.is_stopped),
        int(phase is Phase.CALLING),
        int(phase in IN_TURN),
        len(conversation.mailbox),
        conversation.characters,
        1 - in_database,
        in_database,
    )
