"""Sees to it that the actors are there that a cluster should have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from actors.nodes import Node, host_names, writer_names
from actors.ports import PeerUnavailable
from storage.settings import Settings

__all__ = ["ActorFactory", "Roster"]

log = structlog.get_logger()


class ActorFactory(Protocol):
    """Makes the actors that the supervisor looks after. Making one that is there finds it.

    All methods wait for as long as Ray's head is away, and raise ``PeerUnavailable`` when that
    is too long.
    """

    async def nodes(self) -> list[Node]:
        """Return the machines of the cluster that are alive."""
        ...

    async def make_host(self, name: str, node_id: str) -> None:
        """Make a ``ConversationHost`` on a node; it ends with that node."""
        ...

    async def make_writer(self, name: str) -> None:
        """Make a ``StorageWriter``."""
        ...


class Roster:
    """Makes what is missing; what is there is found."""

    def __init__(self, factory: ActorFactory, settings: Settings) -> None:
        self._factory = factory
        self._hosts_each = settings.conversation_hosts
        self._missing_writers = writer_names(settings)

    async def look(self, silent: Callable[[str], bool]) -> dict[str, Node] | None:
        """Return the hosts that there should be, each with its node; None: it is not known now.

        Those that are ``silent`` are made if they are not there. This takes as long as Ray's
        head is away.
        """
        try:
            while self._missing_writers:
                await self._factory.make_writer(self._missing_writers[-1])
                self._missing_writers.pop()
            hosts = host_names(await self._factory.nodes(), self._hosts_each)
            for name, node in hosts.items():
                if silent(name) and not node.is_draining:
                    await self._factory.make_host(name, node.node_id)
        except PeerUnavailable as error:
            log.warning("nodes_unknown", error=str(error))
            return None
        return hosts
