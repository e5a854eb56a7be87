"""Who, in an ingress, waits for word of which message."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from types import TracebackType

from actors.outcome import Outcome, OutcomeKind
from actors.router import RoutingTable
from storage.tasks import within

__all__ = ["Expectation", "Expectations"]

MAX_KEPT = 16
"""Outcomes kept for one waiter, the latest: the more often a message is sent, the more often all
who wait for it hear that its turn is running."""

_Key = tuple[str, str]


class Expectation:
    """What hosts say about one message while somebody waits for it. Enter it before routing."""

    def __init__(self, book: Expectations, key: _Key, *, hears_start: bool = False) -> None:
        self.key = key
        self.hears_start = hears_start
        """Whether the start of the message's turn is waited for, too."""
        self.epoch = 0
        self.routed_to: str | None = None
        """Owner id of the host that has taken the message in, as far as is known."""
        self.is_routed = False
        self.bot_id: str | None = None
        self.checked_version = -1
        """Version of the routing table by which ``routed_to`` was last seen to be right."""
        self._book = book
        self._outcomes: deque[Outcome] = deque(maxlen=MAX_KEPT)
        self._arrived: asyncio.Future[None] | None = None
        self.is_over = False
        """Whether waiting is in vain: this ingress is about to stop."""

    async def __aenter__(self) -> Expectation:
        self._book.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._book.remove(self)

    def put(self, outcome: Outcome) -> None:
        """Take in an outcome."""
        self._outcomes.append(outcome)
        self._wake()

    def end(self) -> None:
        """Let whoever waits go on without an outcome."""
        self.is_over = True
        self._wake()

    async def wait(self, kinds: frozenset[OutcomeKind], timeout_seconds: float) -> Outcome | None:
        """Return the first outcome of one of ``kinds``, or None when there will be none in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            for position, outcome in enumerate(self._outcomes):
                if outcome.kind in kinds:
                    del self._outcomes[position]
                    return outcome
            if self.is_over:
                return None
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await within(self._arrived, deadline - time.monotonic())
            except TimeoutError:
                return None

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


class Expectations:
    """All waiters of an ingress, by message."""

    def __init__(self) -> None:
        self._waiting: defaultdict[_Key, list[Expectation]] = defaultdict(list)
        self._count = 0
        self._bots: Counter[str] = Counter()
        self._is_over = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Expectation]:
        return (it for waiting in list(self._waiting.values()) for it in waiting)

    def add(self, expectation: Expectation) -> None:
        """Begin to wait."""
        self._waiting[expectation.key].append(expectation)
        self._count += 1
        if self._is_over:
            expectation.end()

    def remove(self, expectation: Expectation) -> None:
        """Stop waiting."""
        waiting = self._waiting[expectation.key]
        waiting.remove(expectation)
        self._count -= 1
        if expectation.bot_id is not None:
            self._bots[expectation.bot_id] -= 1
            if not self._bots[expectation.bot_id]:
                del self._bots[expectation.bot_id]
        if not waiting:
            del self._waiting[expectation.key]

    def note_bot(self, expectation: Expectation, bot_id: str) -> None:
        """Note which bot's answer is waited for."""
        if expectation.bot_id is None:
            expectation.bot_id = bot_id
            self._bots[bot_id] += 1

    def of_bot(self, bot_id: str) -> int:
        """How many wait for an answer of a bot."""
        return self._bots[bot_id]

    def end_all(self) -> None:
        """Let nobody wait any more."""
        self._is_over = True
        for expectation in self:
            expectation.end()

    def of(self, conversation_id: str, message_id: str) -> list[Expectation]:
        """Return those who wait for a message."""
        return list(self._waiting.get((conversation_id, message_id), ()))

    def tell(self, outcome: Outcome) -> None:
        """Give an outcome to all who wait for its message."""
        for expectation in self._waiting.get((outcome.conversation_id, outcome.message_id), ()):
            expectation.put(outcome)

    def misrouted(self, table: RoutingTable) -> list[list[Expectation]]:
        """Return those whose conversation has another host than they were routed to, by message."""
        moved: dict[_Key, list[Expectation]] = {}
        for expectation in self:
            if not expectation.is_routed or expectation.checked_version == table.version:
                continue
            target = table.host_of(expectation.key[0])
            if target and target.owner != expectation.routed_to:
                moved.setdefault(expectation.key, []).append(expectation)
            else:
                expectation.checked_version = table.version
        return list(moved.values())
