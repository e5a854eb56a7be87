"""Whether there is room for a further message: decided before it is stored, never after."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable

from actors.cluster_view import ClusterView
from actors.expectations import Expectations
from actors.host_load import MAX_CHARACTERS
from actors.ports import Overloaded, StorageUnavailable
from storage.records import NewMessage

__all__ = ["Admission", "most_for_one"]

GENERATION_SECONDS = 1.0
"""What was let in during this time and the time before it may be missing in a host's report."""


def most_for_one(limit: int) -> int:
    """Return how much of a limit one bot, or the bots of one AI, may use up: the rest has room."""
    return max(1, limit * 3 // 4)


class _LetIn:
    """What was let in for one host and is not decided, in conversations."""

    def __init__(self) -> None:
        self._bots: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._bots)

    def of_bot(self, bot_id: str) -> int:
        return self._counts[bot_id]

    def add(self, conversation_id: str, bot_id: str) -> None:
        self.discard(conversation_id)
        self._bots[conversation_id] = bot_id
        self._counts[bot_id] += 1

    def discard(self, conversation_id: str) -> None:
        bot_id = self._bots.pop(conversation_id, None)
        if bot_id is not None:
            self._counts[bot_id] -= 1
            if not self._counts[bot_id]:
                del self._counts[bot_id]


class Admission:
    """Refuses messages for a host with too much work, and all while the database is away.

    A host's work is what it last reported and what was let in for it since, as far as it is not
    decided, counted in conversations: a hot one counts once, so that it has nobody else refused.
    Its own excess waits in PostgreSQL. A slow AI has its own bots refused before all others.
    """

    def __init__(
        self,
        view: ClusterView,
        expectations: Expectations,
        has_room: Callable[[str], bool],
        max_in_flight: int,
        host_max_busy: int,
    ) -> None:
        self._view = view
        self._expectations = expectations
        self._has_room = has_room
        self._max_in_flight = max_in_flight
        self._host_max_busy = host_max_busy
        self._recent: defaultdict[str, _LetIn] = defaultdict(_LetIn)
        self._earlier: defaultdict[str, _LetIn] = defaultdict(_LetIn)
        self._turned_at = time.monotonic()

    def check(self, message: NewMessage, accepting: int) -> None:
        """Raise ``Overloaded`` or ``StorageUnavailable`` where a message cannot be let in.

        ``accepting``: how many are being stored now.
        """
        waiting = self._expectations
        if accepting + len(waiting) >= self._max_in_flight:
            raise Overloaded("too many messages are in flight")
        if waiting.of_bot(message.bot_id) >= most_for_one(self._max_in_flight):
            raise Overloaded("too many messages of the bot are in flight")
        table = self._view.table
        if self._view.is_away(table.writer_of(message.conversation_id)):
            raise StorageUnavailable("the database is known to be away")
        target = table.host_of(message.conversation_id)
        if target is not None:  # else it is stored, and routed once there is a host
            self._check_host(target.name, message)

    def note_decided(self, host: str, conversation_id: str) -> None:
        """A host has said the last word about what was let in."""
        for generation in (self._recent, self._earlier):
            if host in generation:
                generation[host].discard(conversation_id)

    def _check_host(self, host: str, message: NewMessage) -> None:
        if not self._has_room(host):
            raise Overloaded("the queue to the host is long")
        self._turn()
        recent, earlier = self._recent[host], self._earlier[host]
        busy = len(recent) + len(earlier)
        of_bot = recent.of_bot(message.bot_id) + earlier.of_bot(message.bot_id)
        report = self._view.report_of(host)
        if report is not None:
            if report.characters >= MAX_CHARACTERS:
                raise Overloaded("the host's memory is full")
            busy += report.busy
            of_bot += report.busy_bots.get(message.bot_id, 0)
        if busy >= self._host_max_busy:
            raise Overloaded("the host has too much work")
        if of_bot >= most_for_one(self._host_max_busy):
            raise Overloaded("the bot's AI has too much work")
        recent.add(message.conversation_id, message.bot_id)

    def _turn(self) -> None:
        """Forget what every report tells of by now."""
        now = time.monotonic()
        if now - self._turned_at < GENERATION_SECONDS:
            return
        is_long_ago = now - self._turned_at > 2 * GENERATION_SECONDS
        self._earlier = defaultdict(_LetIn) if is_long_ago else self._recent
        self._recent = defaultdict(_LetIn)
        self._turned_at = now
