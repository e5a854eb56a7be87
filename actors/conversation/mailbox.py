"""The messages that wait for a turn."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from actors.conversation.limits import Limits
from actors.conversation.message import Message


def _by_acceptance(message: Message) -> int:
    return message.seq


class Mailbox:
    """Waiting user messages in order of acceptance, bounded; the rest stays in the database.

    Once a message found no room, later ones are not taken in either until the mailbox was filled
    again from the database: so order is kept. There may be gaps only behind the last one here.
    """

    __slots__ = ("_limits", "_waiting", "has_more")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: list[Message] = []
        self.has_more = False
        """Whether the database holds pending messages that are not here."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> Message | None:
        """The message that has waited longest."""
        return self._waiting[0] if self._waiting else None

    @property
    def last(self) -> Message | None:
        """The message that came last."""
        return self._waiting[-1] if self._waiting else None

    def __iter__(self) -> Iterator[Message]:
        return iter(self._waiting)

    @property
    def is_torn(self) -> bool:
        """Whether the turn that an earlier owner began, and is next, may be here only in part."""
        head = self.first
        if head is None or head.turn_job_id is None or not self.has_more:
            return False
        is_full = len(self._waiting) >= self._limits.waiting_messages
        return not is_full and self._waiting[-1].turn_job_id == head.turn_job_id

    def find(self, message_id: str) -> Message | None:
        """Return the waiting message of this id."""
        return next((m for m in self._waiting if m.message_id == message_id), None)

    def put(self, message: Message) -> bool:
        """Take a message in; False when there is no room (it is fetched again later).

        What is left out is always later than what is here, so it is the last that has to go.
        """
        if self.has_more and (not self._waiting or message.seq > self._waiting[-1].seq):
            return False
        insort(self._waiting, message, key=_by_acceptance)
        if len(self._waiting) <= self._limits.waiting_messages:
            return True
        self.has_more = True
        return self._waiting.pop() is not message

    def cut_after(self, seq: int) -> None:
        """Leave out what was accepted later: the database holds messages before it."""
        self._waiting = [message for message in self._waiting if message.seq <= seq]

    def remove_job(self, job_id: str) -> list[Message]:
        """Take out the messages whose own job, or whose earlier turn's job, is this one."""
        removed = [m for m in self._waiting if job_id in (m.job_id, m.turn_job_id)]
        self._waiting = [m for m in self._waiting if job_id not in (m.job_id, m.turn_job_id)]
        return removed

    def take_first(self) -> Message:
        """Take out the message that has waited longest."""
        return self._waiting.pop(0)

    def take_turn(self, *, gathered: bool) -> list[Message]:
        """Take out the messages of the next turn.

        ``gathered``: they are a burst that was waited for, so they are one turn under any policy.
        """
        turn = self._group(0, gathered=gathered)
        taken = {message.message_id for message in turn}
        self._waiting = [m for m in self._waiting if m.message_id not in taken]
        return turn

    def turn_of(self, message_id: str, *, gathered: bool) -> list[Message]:
        """Return the messages waiting that will be answered together with this one."""
        rest = self._waiting
        start = 0
        while start < len(rest):
            group = self._group(start, gathered=gathered and start == 0)
            if any(message.message_id == message_id for message in group):
                return group
            start += len(group)
        return []

    def _group(self, start: int, *, gathered: bool) -> list[Message]:
        """Return the turn that begins with the waiting message at ``start``.

        A turn that an earlier owner began is done again with exactly its messages. Otherwise it is
        the longest run of one bot's messages within the limits.
        """
        head = self._waiting[start]
        if head.turn_job_id is not None:
            return [m for m in self._waiting[start:] if m.turn_job_id == head.turn_job_id]
        if head.policy.is_queue and not gathered:
            return [head]
        group = [head]
        characters = head.characters
        for message in self._waiting[start + 1 : start + self._limits.turn_messages]:
            characters += message.characters
            if (
                message.turn_job_id is not None
                or message.policy.bot_id != head.policy.bot_id
                or characters > self._limits.turn_characters
            ):
                break
            group.append(message)
        return group
