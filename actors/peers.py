"""The actors as others see them: each method is one call to the actor of a name."""

from __future__ import annotations

from typing import Any, Protocol, cast

__all__ = ["Caller", "RemoteHost", "RemoteSupervisor", "RemoteWriter"]


class Caller(Protocol):
    """The way to one actor."""

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method. Raises ``PeerUnavailable``."""
        ...


class _Remote:
    def __init__(self, actor: Caller) -> None:
        self._actor = actor


class RemoteHost(_Remote):
    """See ``HostPort``."""

    async def receive(self, envelopes: bytes) -> None:
        """Take in envelopes."""
        await self._actor.call("receive", envelopes)

    async def next_outcomes(self, ingress_id: str, next_number: int) -> bytes:
        """Return outcomes for an ingress."""
        return cast("bytes", await self._actor.call("next_outcomes", ingress_id, next_number))

    async def ping(self, table: bytes | None) -> bytes:
        """Report."""
        return cast("bytes", await self._actor.call("ping", table))

    async def drain(self, timeout_seconds: float) -> None:
        """Finish what is under way and give everything up."""
        await self._actor.call("drain", timeout_seconds)

    async def deliveries(self) -> list[dict[str, object]]:
        """What the simulated platform of this host got."""
        return cast("list[dict[str, object]]", await self._actor.call("deliveries"))


class RemoteWriter(_Remote):
    """See ``WriterPort``."""

    async def execute(self, batch: bytes) -> bytes:
        """Have a batch of operations done."""
        return cast("bytes", await self._actor.call("execute", batch))

    async def ping(self) -> bool:
        """Whether the database answers."""
        return bool(await self._actor.call("ping"))

    async def counted(self) -> bytes:
        """Return what the metrics of its process hold."""
        return cast("bytes", await self._actor.call("counted"))


class RemoteSupervisor(_Remote):
    """See ``SupervisorPort``."""

    async def watch(self, version: int) -> bytes:
        """Return the cluster's report."""
        return cast("bytes", await self._actor.call("watch", version))
