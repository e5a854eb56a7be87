"""How many machines the work needs: more at once when it grows, fewer once it has been calm."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from actors.nodes import Node
from storage.settings import Settings

__all__ = ["Scaling"]

CALM_SECONDS = 120.0
"""A machine is given up when it has not been needed for so long: starting one takes minutes."""


class Scaling:
    """Decides from the conversations that have work, and remembers what it gave up."""

    def __init__(self, settings: Settings) -> None:
        self._least = min(settings.autoscale_min_nodes, settings.autoscale_max_nodes)
        self._most = settings.autoscale_max_nodes
        self._busy_each = settings.autoscale_host_busy * settings.conversation_hosts
        self._needs: deque[tuple[float, int]] = deque()
        """What was needed in the last while, falling: a later need as high replaces an earlier."""
        self._spare: set[str] = set()
        self.wanted = 0
        """Machines with hosts that there should be."""

    def decide(self, nodes: Iterable[Node], busy: int, now: float) -> frozenset[str]:
        """Take in how many conversations have work; return the ids of machines to be given up.

        ``now`` is in seconds, of a clock that does not jump. At the start all that are there count
        as needed, until it was calm for a while.
        """
        usable = [node for node in nodes if node.has_cpus and not node.is_draining]
        need = math.ceil(busy / self._busy_each) if self.wanted else len(usable)
        self._note(min(max(need, self._least), self._most), now)
        self.wanted = self._needs[0][1]
        ranked = sorted(usable, key=self._rank)
        self._spare = {node.node_id for node in ranked[self.wanted :]}
        return frozenset(self._spare)

    def bundles(self, nodes: Iterable[Node]) -> list[dict[str, float]]:
        """Return what to ask Ray's autoscaler for: one whole machine for each that is wanted.

        A machine is taken to be like the smallest that is there.
        """
        sizes = [node.cpus for node in nodes if node.has_cpus]
        return [{"CPU": min(sizes, default=1.0)}] * self.wanted

    def _note(self, need: int, now: float) -> None:
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now, need))
        while len(self._needs) > 1 and now - self._needs[0][0] > CALM_SECONDS:
            self._needs.popleft()

    def _rank(self, node: Node) -> tuple[bool, bool, bool, str]:
        """Sort what is to stay first: the head, and where supervisor and writers run."""
        is_spare = node.node_id in self._spare
        return (is_spare, not node.is_head, not node.is_own, node.node_id)
