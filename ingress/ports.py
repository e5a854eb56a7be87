"""What the routes need from the layers below, as protocols, so that they can be tested alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from actors.outcome import Outcome, OutcomeKind
from actors.ports import Overloaded, StorageUnavailable
from storage.metric_types import Figures
from storage.records import Accepted, NewMessage
from storage.redis_lease import LeaseHolder

__all__ = ["Expectation", "Gateway", "Overloaded", "StorageUnavailable"]


class Expectation(Protocol):
    """What hosts say about one message, while somebody waits for it."""

    @property
    def is_over(self) -> bool:
        """Whether waiting is in vain: this process is about to stop."""
        ...

    async def wait(self, kinds: frozenset[OutcomeKind], timeout_seconds: float) -> Outcome | None:
        """Return the first outcome of one of ``kinds``, or None when there will be none in time."""
        ...


class Gateway(Protocol):
    """The way to the writers and hosts of this cluster."""

    async def accept(self, message: NewMessage) -> Accepted:
        """Store a message. Raises ``StorageUnavailable`` or ``Overloaded``."""
        ...

    def expect(
        self, conversation_id: str, message_id: str, *, hears_start: bool = False
    ) -> AbstractAsyncContextManager[Expectation]:
        """Listen for outcomes of a message; enter it before the message is routed.

        ``hears_start``: that its turn has started is one of them.
        """
        ...

    def route(self, message: NewMessage, accepted: Accepted) -> None:
        """Hand a stored message to its conversation's host (again, if it was handed before)."""
        ...

    def notify_cancelled(self, conversation_id: str, job_id: str) -> None:
        """Tell the host that a job of the conversation was cancelled in the database."""
        ...

    def notify_reset(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        """Tell the host that the conversation's epoch was raised: drop it, then go on afresh.

        So is ``holder`` told, who had the lease until then, if it is in another cluster.
        """
        ...

    def notify_reopened(self, conversation_id: str) -> None:
        """Tell the host that something of the conversation is pending again in the database."""
        ...

    def notify_erased(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        """Tell every host that the conversation is not in the database any more.

        So is ``holder`` told, who had the lease until then, if it is in another cluster.
        """
        ...

    def on_word_of_job(self, hear: Callable[[str], None]) -> None:
        """Call ``hear`` with the id of each job that a host has told this ingress something of."""
        ...

    @property
    def is_serving(self) -> bool:
        """Whether at least one writer and one host answer."""
        ...

    @property
    def redis_everywhere(self) -> bool:
        """Whether every host has its leases in Redis."""
        ...

    def describe_actors(self) -> list[dict[str, object]]:
        """One object an actor, as the supervisor last saw it, for operators."""
        ...

    def figures_of_all(self) -> dict[str, Figures]:
        """Return the metrics of this process and what all actors last reported, by process."""
        ...

    async def simulated_deliveries(self) -> list[dict[str, object]]:
        """What the simulated platform got, from all hosts, newest first."""
        ...
