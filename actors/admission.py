"""Whether there is room for a further message: decided before it is stored, never after."""

from __future__ import annotations

import time
from collections.abc import Callable

from actors.cluster_view import ClusterView
from actors.host_load import MAX_CHARACTERS
from actors.ports import Overloaded, StorageUnavailable

__all__ = ["Admission"]

GENERATION_SECONDS = 1.0
"""What was let in during this time and the time before it may be missing in a host's report."""


class Admission:
    """Refuses messages for a host with too much work, and all while the database is away.

    A host's work is what it last reported and what was let in for it since, as far as it is not
    decided, counted in conversations: a hot one counts once, so that it has nobody else refused.
    Its own excess waits in PostgreSQL.
    """

    def __init__(
        self,
        view: ClusterView,
        has_room: Callable[[str], bool],
        max_in_flight: int,
        host_max_busy: int,
    ) -> None:
        self._view = view
        self._has_room = has_room
        self._max_in_flight = max_in_flight
        self._host_max_busy = host_max_busy
        self._recent: dict[str, set[str]] = {}
        self._earlier: dict[str, set[str]] = {}
        self._turned_at = time.monotonic()

    def check(self, conversation_id: str, in_flight: int) -> None:
        """Raise ``Overloaded`` or ``StorageUnavailable`` where a message cannot be let in."""
        if in_flight >= self._max_in_flight:
            raise Overloaded("too many messages are in flight")
        table = self._view.table
        if self._view.is_away(table.writer_of(conversation_id)):
            raise StorageUnavailable("the database is known to be away")
        target = table.host_of(conversation_id)
        if target is None:
            return  # it is stored, and routed once there is a host
        if not self._has_room(target.name):
            raise Overloaded("the queue to the host is long")
        self._turn()
        report = self._view.report_of(target.name)
        if report is not None and report.characters >= MAX_CHARACTERS:
            raise Overloaded("the host's memory is full")
        recent = self._recent.setdefault(target.name, set())
        busy = len(recent) + len(self._earlier.get(target.name, ()))
        if report is not None:
            busy += report.busy
        if busy >= self._host_max_busy:
            raise Overloaded("the host has too much work")
        recent.add(conversation_id)

    def note_decided(self, host: str, conversation_id: str) -> None:
        """A host has said the last word about what was let in."""
        for generation in (self._recent, self._earlier):
            if host in generation:
                generation[host].discard(conversation_id)

    def _turn(self) -> None:
        """Forget what every report tells of by now."""
        now = time.monotonic()
        if now - self._turned_at < GENERATION_SECONDS:
            return
        is_long_ago = now - self._turned_at > 2 * GENERATION_SECONDS
        self._earlier = {} if is_long_ago else self._recent
        self._recent = {}
        self._turned_at = now
