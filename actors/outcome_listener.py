"""Hears what hosts have to tell an ingress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.codec import decode_outcomes
from actors.outcome import Outcome
from actors.ports import Directory, PeerUnavailable
from actors.router import RoutingTable

__all__ = ["OutcomeListener"]

FETCH_TIMEOUT_SECONDS = 15.0
RETRY_SECONDS = 0.5


class OutcomeListener:
    """Asks each host for outcomes, one fetch after the other, and hands them on.

    ``hear`` is called with the host's name and each outcome.
    """

    def __init__(
        self,
        directory: Directory,
        ingress_id: str,
        table: Callable[[], RoutingTable],
        hear: Callable[[str, Outcome], None],
    ) -> None:
        self._directory = directory
        self._ingress_id = ingress_id
        self._table = table
        self._hear = hear
        self._listening: set[str] = set()

    def unheard(self) -> list[str]:
        """Return the hosts of the routing table that it does not listen to; it is to by now."""
        names = [host.name for host in self._table().hosts if host.name not in self._listening]
        self._listening.update(names)
        return names

    async def listen(self, host: str) -> None:
        """Hear a host until it has gone.

        One that has left the routing table may still be ending turns: it is heard as long as it
        answers.
        """
        next_number = 0
        while True:
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                    answer = await self._directory.host(host).next_outcomes(
                        self._ingress_id, next_number
                    )
            except (PeerUnavailable, TimeoutError):
                if not any(it.name == host for it in self._table().hosts):
                    break
                await asyncio.sleep(RETRY_SECONDS)
                continue
            next_number, outcomes = decode_outcomes(answer)
            for outcome in outcomes:
                self._hear(host, outcome)
        self._listening.discard(host)
