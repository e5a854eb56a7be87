"""The messages that wait for a turn."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import replace

from actors.conversation.limits import Limits
from actors.conversation.message import Message


def _by_acceptance(message: Message) -> int:
    return message.seq


class Mailbox:
    """Waiting user messages in order of acceptance, bounded; the rest stays in the database.

    Once a message found no room, later ones are not taken in either until the mailbox was filled
    again from the database: so order is kept. There may be gaps only behind the last one here.
    """

    __slots__ = ("_limits", "_waiting", "has_more", "weight")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: list[Message] = []
        self.has_more = False
        """Whether the database holds pending messages that are not here."""
        self.weight = 0
        """How many characters the messages here have."""

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
        return not self._is_full and self._waiting[-1].turn_job_id == head.turn_job_id

    @property
    def _is_full(self) -> bool:
        """Whether another look into the database would bring nothing more."""
        limits = self._limits
        is_heavy = self.weight >= limits.waiting_characters // 2
        return is_heavy or len(self._waiting) >= limits.waiting_messages

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
        self.weight += message.weight
        is_taken = True
        while self._is_over:
            self.has_more = True
            last = self._waiting.pop()
            self.weight -= last.weight
            is_taken = is_taken and last is not message
        return is_taken

    @property
    def _is_over(self) -> bool:
        """Whether the last message has to go; a single one may be of any size."""
        limits = self._limits
        count = len(self._waiting)
        is_heavy = count > 1 and self.weight > limits.waiting_characters
        return is_heavy or count > limits.waiting_messages

    def cut_after(self, seq: int) -> None:
        """Leave out what was accepted later: the database holds messages before it."""
        self._keep([message for message in self._waiting if message.seq <= seq])

    def remove_job(self, job_id: str) -> list[Message]:
        """Take out the messages whose own job, or whose earlier turn's job, is this one."""
        removed = [m for m in self._waiting if job_id in (m.job_id, m.turn_job_id)]
        self._keep([m for m in self._waiting if job_id not in (m.job_id, m.turn_job_id)])
        return removed

    def take_first(self) -> Message:
        """Take out the message that has waited longest."""
        first = self._waiting.pop(0)
        self.weight -= first.weight
        return first

    def split(self, job_id: str) -> None:
        """Let go of the turn of this job: its messages are taken as any others."""
        self._waiting = [
            replace(message, turn_job_id=None) if message.turn_job_id == job_id else message
            for message in self._waiting
        ]

    def take_turn(self, *, gathered: bool) -> list[Message]:
        """Take out the messages of the next turn.

        ``gathered``: they are a burst that was waited for, so they are one turn under any policy.
        """
        turn = self._group(self._waiting, gathered=gathered)
        self._keep(_without(self._waiting, turn))
        return turn

    def _keep(self, messages: list[Message]) -> None:
        self._waiting = messages
        self.weight = sum(message.weight for message in messages)

    def turn_of(self, message_id: str, *, gathered: bool) -> list[Message]:
        """Return the messages waiting that will be answered together with this one."""
        rest = self._waiting
        while rest:
            group = self._group(rest, gathered=gathered and rest is self._waiting)
            if any(message.message_id == message_id for message in group):
                return group
            # A turn that an earlier owner began may stand scattered among the others.
            is_run = group[0].turn_job_id is None
            rest = rest[len(group) :] if is_run else _without(rest, group)
        return []

    def _group(self, waiting: list[Message], *, gathered: bool) -> list[Message]:
        """Return the turn that begins with the first of the messages ``waiting``.

        A turn that an earlier owner began is done again with exactly its messages. Otherwise it is
        the longest run of one bot's messages within the limits.
        """
        head = waiting[0]
        if head.turn_job_id is not None:
            return [m for m in waiting if m.turn_job_id == head.turn_job_id]
        if head.policy.is_queue and not gathered:
            return [head]
        group = [head]
        characters = head.characters
        for message in waiting[1 : self._limits.turn_messages]:
            characters += message.characters
            if (
                message.turn_job_id is not None
                or message.policy.bot_id != head.policy.bot_id
                or characters > self._limits.turn_characters
            ):
                break
            group.append(message)
        return group


def _without(messages: list[Message], taken: list[Message]) -> list[Message]:
    gone = {message.message_id for message in taken}
    return [message for message in messages if message.message_id not in gone]
