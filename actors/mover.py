"""Gives up the conversations whose shard has moved to another host, live ones not disturbed."""

from __future__ import annotations

import asyncio

from actors.conversation import Phase
from actors.conversation.events import Released
from actors.runner import Runner
from actors.seat import Seat
from actors.shards import Shards
from storage.tasks import wait_at_most

__all__ = ["Mover"]

CHECK_SECONDS = 0.5
"""How often guests are sent home: conversations that came here although their shard did not."""
IDLE_AT_A_TIME = 200
"""Idle conversations given up in one go; live ones are served before the next."""
PAUSE_SECONDS = 0.02


class Mover:
    """Looks through a host's conversations whenever the routing table changes."""

    def __init__(self, runner: Runner, shards: Shards) -> None:
        self._runner = runner
        self._shards = shards
        self._guests: set[str] = set()
        self._has_new_table = False
        self._wakened = asyncio.Event()

    def note_table(self) -> None:
        """The routing table has changed."""
        self._has_new_table = True
        self._wakened.set()

    def note_guest(self, conversation_id: str) -> None:
        """A conversation was taken in that is another host's."""
        self._guests.add(conversation_id)

    async def run(self) -> None:
        """Move for ever."""
        while True:
            await wait_at_most(self._wakened, CHECK_SECONDS)  # then it is time for the guests
            self._wakened.clear()
            await self.move()

    async def move(self) -> None:
        """Give up what is another host's.

        Where something is under way that is at once, which lets it end and starts no more; the
        idle ones follow a few at a time.
        """
        guests, self._guests = self._guests, set()
        names = guests
        if self._has_new_table:
            self._has_new_table = False
            names = set(self._runner.seats)
        idle: list[Seat] = []
        for seat in [self._runner.seats[it] for it in names if it in self._runner.seats]:
            if not self._shards.is_foreign(seat.conversation_id):
                continue
            if seat.conversation.phase is Phase.IDLE and seat.conversation.is_quiet:
                idle.append(seat)
            else:
                self._give_up(seat)
        for position, seat in enumerate(idle, start=1):
            self._give_up(seat)
            if position % IDLE_AT_A_TIME == 0:
                await asyncio.sleep(PAUSE_SECONDS)

    def _give_up(self, seat: Seat) -> None:
        is_here = self._runner.seats.get(seat.conversation_id) is seat
        if is_here and not seat.conversation.is_draining:
            self._runner.dispatch(seat, Released())
