"""Bounded concurrency for each address: what is slow holds up only its own callers."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Bulkheads", "origin_of"]


class _Gate:
    """The slots of one address, kept as long as somebody uses or wants one."""

    __slots__ = ("slots", "users")

    def __init__(self, slots: int) -> None:
        self.slots = asyncio.Semaphore(slots)
        self.users = 0


class _Slot(AbstractAsyncContextManager[None]):
    """One place in front of an address; as a generator it would cost several times as much."""

    __slots__ = ("_address", "_bulkheads")

    def __init__(self, bulkheads: Bulkheads, address: str) -> None:
        self._bulkheads = bulkheads
        self._address = address

    async def __aenter__(self) -> None:
        await self._bulkheads._enter(self._address)  # noqa: SLF001 (its other half)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bulkheads._exit(self._address)  # noqa: SLF001


class Bulkheads:
    """At most ``slots`` calls at a time to each address; further ones wait, the oldest first.

    Who waits holds nothing but its place, and leaves it when it is cancelled. How many can wait
    is bounded by the callers: a conversation asks one AI and sends one answer at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._gates: dict[str, _Gate] = {}

    def slot(self, address: str) -> AbstractAsyncContextManager[None]:
        """Wait for a slot of ``address``, and hold it for the length of the block."""
        return _Slot(self, address)

    async def _enter(self, address: str) -> None:
        gate = self._gates.get(address)
        if gate is None:
            gate = self._gates[address] = _Gate(self._slots)
        gate.users += 1
        try:
            await gate.slots.acquire()
        except BaseException:
            self._leave(gate, address)
            raise

    def _exit(self, address: str) -> None:
        gate = self._gates[address]
        gate.slots.release()
        self._leave(gate, address)

    def _leave(self, gate: _Gate, address: str) -> None:
        gate.users -= 1
        if gate.users == 0:
            del self._gates[address]

    def users(self, address: str) -> int:
        """How many have a slot of ``address``, or wait for one."""
        gate = self._gates.get(address)
        return 0 if gate is None else gate.users

    def crowded(self, least: int) -> dict[str, int]:
        """Return the addresses with at least so many users, and how many these are."""
        return {name: gate.users for name, gate in self._gates.items() if gate.users >= least}

    def __len__(self) -> int:
        """How many addresses have users."""
        return len(self._gates)


def origin_of(url: str) -> str:
    """Return scheme, host and port of ``url``: what its paths have in common."""
    scheme, netloc, *_ = urlsplit(url)
    return f"{scheme}://{netloc}"
