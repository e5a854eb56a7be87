"""Runs the conversations of a host: events in, effects performed, their answers fed back."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from actors.activation import Activation
from actors.announcer import announce
from actors.conversation import Conversation, IllegalTransition, Limits, Phase
from actors.conversation import effects as fx
from actors.conversation.events import Event, LeaseRenewed, Released, Tick
from actors.delivery_work import DeliveryWork
from actors.handing_over import HandingOver
from actors.host_load import MAX_CHARACTERS, HostLoad, is_idle
from actors.resources import Resources
from actors.seat import Seat
from actors.state_saver import StateSaver
from actors.translation import PolicyBook
from actors.turn_work import TurnWork

__all__ = ["Runner"]

log = structlog.get_logger()

MAX_EVICTED = 5_000
"""At a time: the host has other things to do."""

_Performer = Callable[[Seat, Any], Awaitable[Event | None]]


class Runner:
    """All conversations that are in this host's memory."""

    def __init__(self, resources: Resources) -> None:
        settings = resources.settings
        self._limits = Limits(
            lease_ttl_seconds=settings.processing_lock_ttl,
            idle_seconds=settings.conversation_idle_seconds,
        )
        self.policies = PolicyBook(resources.bots)
        self.seats: dict[str, Seat] = {}
        self.load = HostLoad()
        self.resources = resources
        redis = resources.redis
        self.states = StateSaver(
            redis.states if redis is not None else None, resources.owner, self.load.crowding
        )
        activation = Activation(resources, self.policies, self._limits.waiting_messages)
        turns = TurnWork(resources, self.load)
        self._trials = turns.trials
        deliveries = DeliveryWork(resources)
        self._performers: dict[type[fx.Effect], _Performer] = {
            fx.AcquireLease: activation.acquire,
            fx.ReleaseLease: activation.release,
            fx.Claim: activation.claim,
            fx.FetchPending: activation.fetch,
            fx.HandOver: HandingOver(resources).hand_over,
            fx.StartTurn: turns.start,
            fx.CallAi: turns.call_ai,
            fx.CommitTurn: turns.commit,
            fx.SettleMessage: turns.settle,
            fx.CountDelivery: deliveries.count,
            fx.Deliver: deliveries.deliver,
            fx.RecordDelivery: deliveries.record,
        }
        self._farewells: set[asyncio.Task[None]] = set()

    def seat(self, conversation_id: str) -> Seat:
        """Return the seat of a conversation, made if there is none."""
        seat = self.seats.get(conversation_id)
        if seat is None:
            seat = Seat(Conversation(conversation_id, self._current_limits()))
            self.seats[conversation_id] = seat
        return seat

    def _current_limits(self) -> Limits:
        """Return limits that keep as much context as the bot that wants most of it."""
        most = self.resources.bots.max_context_messages
        if most != self._limits.context_messages:
            self._limits = dataclasses.replace(self._limits, context_messages=most)
        return self._limits

    def dispatch(self, seat: Seat, event: Event) -> None:
        """Give a conversation an event and set off what follows from it."""
        now = time.monotonic()
        if isinstance(event, LeaseRenewed) and seat.conversation.extend(event, now):
            return
        try:
            effects = seat.conversation.receive(event, now)
        except IllegalTransition:
            log.exception("illegal_transition", conversation_id=seat.conversation_id)
            self._abandon(seat)
            return
        except Exception:  # half of it was done: what is in memory cannot be relied on any more
            log.exception("event_failed", conversation_id=seat.conversation_id)
            self._abandon(seat)
            return
        for effect in effects:
            self._perform(seat, effect)
        self._trials.look(seat)
        if self.seats.get(seat.conversation_id) is not seat:
            return
        self.load.note(seat)
        if seat.conversation.phase is not Phase.PASSIVE:
            self._schedule(seat)

    def is_full(self, *, is_awaited: bool) -> bool:
        """Whether there is no room for a further conversation with work.

        Who accepts messages stops earlier (see ``Admission``). What comes all the same is let in
        while somebody waits for it, up to double the limit.
        """
        factor = 2 if is_awaited else 1
        most_busy = factor * self.resources.settings.host_max_busy
        return self.load.busy >= most_busy or self.load.characters >= factor * MAX_CHARACTERS

    def make_room(self) -> None:
        """Let go of idle conversations, the oldest first, where too many are in memory."""
        excess = len(self.seats) - self.load.busy - self.resources.settings.host_max_idle
        if excess <= 0 and self.load.characters < MAX_CHARACTERS // 2:
            return
        idle = [seat for seat in self.seats.values() if is_idle(seat.conversation)]
        for seat in idle[: min(excess, MAX_EVICTED) if excess > 0 else MAX_EVICTED]:
            self.dispatch(seat, Released())

    async def drain(self, timeout_seconds: float) -> None:
        """Give all conversations up, turns under way first finished, for at most that long.

        What is not finished by then is done by the next owner.
        """
        for seat in list(self.seats.values()):
            self.dispatch(seat, Released())
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.seats or self._farewells:
                    pending = set(self._farewells).union(*(s.tasks for s in self.seats.values()))
                    await asyncio.wait(
                        pending or [asyncio.create_task(asyncio.sleep(0.02))],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                await self.states.drain()
        except TimeoutError:
            log.warning("drain_timed_out", conversations=len(self.seats))

    def _perform(self, seat: Seat, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Tell):
            announce(self.resources.outcomes, seat, effect)
        elif isinstance(effect, fx.SaveState):
            self.states.save(seat)
        elif isinstance(effect, fx.AbandonAi):
            if seat.ai_task is not None:
                seat.ai_task.cancel()
        elif isinstance(effect, fx.Passivate):
            self._forget(seat)
        else:
            self._start(seat, effect)

    def _start(self, seat: Seat, effect: fx.Effect) -> None:
        task = asyncio.create_task(self._run(seat, effect))
        # What is told to others when the conversation goes is not stopped with it.
        is_farewell = isinstance(effect, fx.ReleaseLease | fx.HandOver)
        tasks = self._farewells if is_farewell else seat.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if isinstance(effect, fx.CallAi):
            seat.ai_task = task
        elif isinstance(effect, fx.ReleaseLease):
            seat.release = task

    async def _run(self, seat: Seat, effect: fx.Effect) -> None:
        try:
            event = await self._performers[type(effect)](seat, effect)
        except Exception:
            log.exception(
                "effect_failed",
                conversation_id=seat.conversation_id,
                effect=type(effect).__name__,
            )
            self._abandon(seat)
            return
        if self.seats.get(seat.conversation_id) is seat:
            # No answer: the trust in the lease is over. That is to show now, for were the lease
            # renewed first, the conversation would wait for the answer for ever.
            self.dispatch(seat, Tick() if event is None else event)

    def _abandon(self, seat: Seat) -> None:
        """Forget a conversation after a bug: its work is in the database, and is begun afresh."""
        if self.seats.get(seat.conversation_id) is seat:
            del self.seats[seat.conversation_id]
            self.load.forget(seat)
        seat.stop()
        self._trials.leave(seat)

    def _forget(self, seat: Seat) -> None:
        self.states.keep(seat)
        self._abandon(seat)

    def _schedule(self, seat: Seat) -> None:
        """See to it that a ``Tick`` comes at the conversation's deadline, or before."""
        deadline = seat.conversation.deadline()
        if deadline is None or (seat.timer is not None and seat.timer_at <= deadline):
            return
        if seat.timer is not None:
            seat.timer.cancel()
        delay = max(0.0, deadline - time.monotonic())
        seat.timer_at = deadline
        seat.timer = asyncio.get_running_loop().call_later(delay, self._tick, seat)

    def _tick(self, seat: Seat) -> None:
        seat.timer = None
        deadline = seat.conversation.deadline()
        if deadline is not None and deadline <= time.monotonic():
            self.dispatch(seat, Tick())
        elif self.seats.get(seat.conversation_id) is seat:
            self._schedule(seat)
