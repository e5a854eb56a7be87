"""Which hosts a cluster has: so many on each machine that has CPUs to give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from storage.settings import Settings

__all__ = ["Node", "host_names", "ingress_names", "writer_names"]

NAME_DIGITS = 8
"""So much of a node's id tells it from the others."""


@dataclass(frozen=True, slots=True)
class Node:
    """A live machine of the cluster, as Ray knows it."""

    node_id: str
    is_head: bool
    has_cpus: bool
    """Not so for one that was started with ``--num-cpus=0``: it serves HTTP, or heads others."""
    is_draining: bool = False
    """Its operator, or the autoscaler, is about to take it away."""
    is_spare: bool = False
    """There is no work for it: its hosts are to end, and then the autoscaler takes it away."""
    is_own: bool = False
    """The supervisor runs on it."""
    cpus: float = 1.0
    address: str = ""
    """Its address in the cluster's network."""

    @property
    def is_leaving(self) -> bool:
        """Whether it is to get no work any more."""
        return self.is_draining or self.is_spare


def host_names(nodes: Iterable[Node], hosts_each: int) -> dict[str, Node]:
    """Return the names of the hosts that there should be, each with its node.

    Those of the head are ``host-0``, ``host-1`` and so on, as in a cluster of one machine.
    """
    return {
        _name(node, number): node for node in nodes if node.has_cpus for number in range(hosts_each)
    }


def ingress_names(nodes: Iterable[Node]) -> dict[str, Node]:
    """Return the names of the HTTP servers that there should be, each with its node."""
    return {f"ingress-{node.node_id[:NAME_DIGITS]}": node for node in nodes if node.has_cpus}


def writer_names(settings: Settings) -> list[str]:
    """Return the names of the writers that a cluster has, wherever they run."""
    return [f"writer-{number}" for number in range(settings.storage_writers)]


def _name(node: Node, number: int) -> str:
    return f"host-{number}" if node.is_head else f"host-{node.node_id[:NAME_DIGITS]}-{number}"
