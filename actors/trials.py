"""Turns that may be what kills their host: one at a time, so that it shows which one it is."""

from __future__ import annotations

import asyncio
from collections import deque

from actors.conversation.turn import Turn
from actors.seat import Seat

__all__ = ["Trials"]


class Trials:
    """The one place for such a turn in a host; the others wait in order.

    What waits is not counted as tried, so a conversation whose host dies meanwhile loses nothing.
    There are never more of them than conversations in memory.
    """

    def __init__(self) -> None:
        self._seat: Seat | None = None
        self._turn: Turn | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, seat: Seat, job_id: str, call: int) -> bool:
        """Wait for the place; False: the turn is over before it could begin."""
        while self._seat is not None:
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            try:
                await freed
            except asyncio.CancelledError:
                self._pass_on(freed)
                raise
        turn = seat.conversation.turn
        if turn is None or (turn.job_id, turn.call) != (job_id, call):
            self._wake_next()
            return False
        self._seat, self._turn = seat, turn
        return True

    def look(self, seat: Seat) -> None:
        """Free the place if the turn that has it, of this conversation, is over."""
        if self._seat is seat and seat.conversation.turn is not self._turn:
            self.leave(seat)

    def leave(self, seat: Seat) -> None:
        """Free the place if this conversation has it."""
        if self._seat is seat:
            self._seat = self._turn = None
            self._wake_next()

    def _pass_on(self, freed: asyncio.Future[None]) -> None:
        if freed.done() and not freed.cancelled():
            self._wake_next()
        elif freed in self._waiting:
            self._waiting.remove(freed)

    def _wake_next(self) -> None:
        if self._seat is None and self._waiting:
            freed = self._waiting.popleft()
            if freed.done():
                self._wake_next()
            else:
                freed.set_result(None)
