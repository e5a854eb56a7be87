"""Sees to it that the actors are there that a cluster should have, and the machines for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from actors.nodes import Node, host_names, ingress_names, writer_names
from actors.ports import PeerUnavailable
from actors.scaling import Scaling
from storage.settings import Settings

__all__ = ["ActorFactory", "Roster"]

log = structlog.get_logger()

ASK_SECONDS = 30.0
"""How often Ray is asked for machines, though nothing has changed: its head may have forgotten."""


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

    async def make_ingress(self, name: str, node: Node) -> bool:
        """Make an HTTP server on a node; it ends with that node. False: one is still ending."""
        ...

    async def end_host(self, name: str) -> None:
        """End a host for good."""
        ...

    async def end_ingress(self, name: str) -> None:
        """End an HTTP server after the requests that it has; does not wait for that."""
        ...

    async def ask_for_machines(self, bundles: Sequence[dict[str, float]]) -> None:
        """Tell the autoscaler, if there is one, what the cluster should hold, in all."""
        ...


class Roster:
    """Makes what is missing; what is there is found.

    ``busy`` tells how many conversations have work in all hosts.
    """

    def __init__(self, factory: ActorFactory, settings: Settings, busy: Callable[[], int]) -> None:
        self._factory = factory
        self._hosts_each = settings.conversation_hosts
        self._missing_writers = writer_names(settings)
        self._busy = busy
        self._scaling = Scaling(settings) if settings.autoscale_max_nodes else None
        self._asked: tuple[list[dict[str, float]] | None, float] = (None, 0.0)
        self._has_ingresses = settings.ingress_on_nodes
        self._ingresses: set[str] = set()

    async def look(self, silent: Callable[[str], bool]) -> dict[str, Node] | None:
        """Return the hosts that there should be, each with its node; None: it is not known now.

        Those that are ``silent`` are made if they are not there. This takes as long as Ray's
        head is away.
        """
        try:
            while self._missing_writers:
                await self._factory.make_writer(self._missing_writers[-1])
                self._missing_writers.pop()
            nodes = await self._scaled(await self._factory.nodes())
            hosts = host_names(nodes, self._hosts_each)
            for name, node in list(hosts.items()):
                if silent(name) and node.is_spare:
                    del hosts[name]  # it has ended, or was never needed
                elif silent(name) and not node.is_draining:
                    await self._factory.make_host(name, node.node_id)
            if self._has_ingresses:
                await self._follow_ingresses(nodes)
        except PeerUnavailable as error:
            log.warning("nodes_unknown", error=str(error))
            return None
        return hosts

    async def end_host(self, name: str) -> None:
        """End a host that has given up all it had."""
        try:
            await self._factory.end_host(name)
        except PeerUnavailable as error:
            log.warning("host_not_ended", host=name, error=str(error))

    async def _scaled(self, nodes: list[Node]) -> list[Node]:
        """Ask for as many machines as the work needs; mark those that it does not."""
        if self._scaling is None:
            return nodes
        before = self._scaling.wanted
        now = time.monotonic()
        spare = self._scaling.decide(nodes, self._busy(), now)
        if self._scaling.wanted != before:
            log.info("machines_wanted", count=self._scaling.wanted, before=before)
        bundles = self._scaling.bundles(nodes)
        asked, asked_at = self._asked
        if bundles != asked or now - asked_at > ASK_SECONDS:
            await self._factory.ask_for_machines(bundles)
            self._asked = (bundles, now)
        return [replace(it, is_spare=True) if it.node_id in spare else it for it in nodes]

    async def _follow_ingresses(self, nodes: list[Node]) -> None:
        wanted = ingress_names(nodes)
        self._ingresses &= wanted.keys()  # the others went with their machines
        for name, node in wanted.items():
            if not node.is_leaving and name not in self._ingresses:
                if await self._factory.make_ingress(name, node):
                    self._ingresses.add(name)
            elif node.is_leaving and name in self._ingresses:
                self._ingresses.discard(name)
                await self._factory.end_ingress(name)
