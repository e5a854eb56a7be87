"""How the actors see each other, without Ray: calls of bytes that may fail."""

from __future__ import annotations

from typing import Protocol

__all__ = [
    "Directory",
    "HostPort",
    "Overloaded",
    "PeerUnavailable",
    "StorageUnavailable",
    "SupervisorPort",
    "WriterPort",
]


class StorageUnavailable(Exception):
    """The message is not known to be stored; sending the same id again is safe."""


class Overloaded(Exception):
    """Too much work is in flight; nothing was accepted."""


class PeerUnavailable(Exception):
    """The other actor did not answer: what was asked may have been done or not."""


class WriterPort(Protocol):
    """A ``StorageWriter``. All methods raise ``PeerUnavailable``."""

    async def execute(self, batch: bytes) -> bytes:
        """See ``StorageWriter.execute``."""
        ...

    async def ping(self) -> bool:
        """Whether the database answers."""
        ...

    async def counted(self) -> bytes:
        """Return what the metrics of its process hold, encoded."""
        ...


class HostPort(Protocol):
    """A ``ConversationHost``. All methods raise ``PeerUnavailable``."""

    async def receive(self, envelopes: bytes) -> None:
        """Take in envelopes."""
        ...

    async def next_outcomes(self, ingress_id: str, next_number: int) -> bytes:
        """Return outcomes for an ingress as soon as there are any (or none after a while).

        ``next_number`` came with the last ones that were heard, at first it is 0: until it is told,
        they are returned again.
        """
        ...

    async def ping(self, table: bytes | None) -> bytes:
        """Report; ``table`` is the routing table, if the host has not got it yet."""
        ...

    async def drain(self, timeout_seconds: float) -> None:
        """Finish what is under way and give everything up."""
        ...

    async def deliveries(self) -> list[dict[str, object]]:
        """What the simulated platform of this host got, newest first."""
        ...


class SupervisorPort(Protocol):
    """The ``Supervisor``. All methods raise ``PeerUnavailable``."""

    async def watch(self, version: int) -> bytes:
        """Return the cluster's report, at once if its table is newer than ``version``."""
        ...


class Directory(Protocol):
    """Finds actors by name; the actor need not be there."""

    def host(self, name: str) -> HostPort:
        """Return a host."""
        ...

    def writer(self, name: str) -> WriterPort:
        """Return a writer."""
        ...

    def supervisor(self) -> SupervisorPort:
        """Return the supervisor."""
        ...

    def close(self) -> None:
        """Let go of what leads to them."""
        ...
