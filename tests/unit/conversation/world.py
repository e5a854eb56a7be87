"""A small world of one conversation: hosts, a lease store, a database, an AI and a platform.

It performs what conversations ask for and feeds the answers back, in whatever order the test
chooses, and it checks at every step what must never happen. Time is a number.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.conversation import Conversation, Limits, Message, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.phase import OWNED
from tests.unit.conversation.checks import Seat, check_effect, check_end
from tests.unit.conversation.services import MARGIN, TTL, Services


@dataclass(eq=False)
class Request:
    """An effect on its way to the world, and later the event on its way back."""

    seat: Seat
    effect: fx.Effect
    event: e.Event | None = None

    @property
    def is_write(self) -> bool:
        """Whether it is a write that has not been done."""
        return self.event is None and hasattr(self.effect, "epoch")


class World(Services):
    """Holds all that outlives a host, and what is on its way."""

    def __init__(self, policies: list[Policy], limits: Limits, hosts: int = 2) -> None:
        super().__init__(limits)
        self.policies = policies
        self.seats: dict[str, Seat | None] = {f"host-{number}": None for number in range(hosts)}
        self.requests: list[Request] = []
        self.told: dict[str, list[fx.Tell]] = {}
        self.checks_callers = True

    # ------------------------------------------------------------------------ what people do

    def submit(
        self,
        message_id: str,
        host: str | None,
        *,
        sender_type: str = "user",
        content: str = "hello",
        bot: int = 0,
    ) -> bool:
        """Accept a message and route it to a host (None: its routing is lost)."""
        message = Message(
            message_id=message_id,
            job_id=f"job-{next(self.numbers)}",
            seq=0,
            sender_type=sender_type,
            sender_id="someone",
            content=content,
            timestamp=self.now,
            accepted_at=self.now,
            policy=self.policies[bot % len(self.policies)],
        )
        is_new = self.database.accept(message)
        if host is not None:
            stored = self.database.rows[message_id].message
            if is_new:
                self.give(host, e.MessageReceived(stored, self.database.epoch), caller=message_id)
            else:
                self.give(host, e.Poked(message_id, self.database.epoch), caller=message_id)
        return is_new

    def repeat(self, message_id: str, host: str, epoch: int) -> None:
        """Hand a message over a second time, as it was accepted under an earlier epoch or now."""
        row = self.database.rows[message_id]
        if row.is_processed or epoch == self.database.epoch:
            epoch = min(epoch, self.database.epoch)
        self.give(host, e.MessageReceived(row.message, epoch))

    def cancel_job(self, job_id: str) -> None:
        """Cancel a job, and tell all hosts if that was so."""
        if self.database.cancel_job(job_id):
            for host in self._live():
                self.give(host, e.JobCancelled(job_id))

    def retry(self, job_id: str, *, is_heard: bool) -> None:
        """Try a dead letter again; hosts may never hear of it."""
        database = self.database
        new_job_ids = [f"job-{next(self.numbers)}" for _ in database.jobs[job_id].message_ids]
        is_new = job_id not in self.sent and database.retry_delivery(job_id)
        if (is_new or database.retry_turn(job_id, new_job_ids)) and is_heard:
            for host in self._live():
                self.give(host, e.Reopened())

    def reset(self) -> None:
        """An operator raises the epoch and deletes the lease."""
        self.database.cancel_conversation()
        self.lease = None
        for host in self._live():
            self.give(host, e.ConversationReset())

    # ------------------------------------------------------------------------ what breaks

    def crash(self, host: str) -> None:
        """A host dies: what it asked for may still be done, but nobody hears of it."""
        seat = self.seats[host]
        if seat is not None:
            seat.is_gone = True
            self.seats[host] = None

    def flush_redis(self) -> None:
        """Redis comes back empty."""
        self.lease = None

    # ------------------------------------------------------------------------ hosts

    def give(self, host: str, event: e.Event, caller: str | None = None) -> None:
        """Give an event to a host's conversation, made if there is none."""
        seat = self.seats[host]
        if seat is None:
            if isinstance(event, e.JobCancelled | e.Tick):
                return
            seat = self.seats[host] = Seat(host, Conversation("conversation", self.limits))
        if caller is not None:
            seat.callers.add(caller)
        self._receive(seat, event)

    def _receive(self, seat: Seat, event: e.Event) -> None:
        conversation = seat.conversation
        before = conversation.phase
        effects = conversation.receive(event, self.now)
        if isinstance(event, e.Claimed) and conversation.epoch == event.epoch:
            seat.is_owner = True
        assert seat.is_owner or conversation.phase not in OWNED
        assert fx.Passivate() not in effects[:-1], "forgotten, and goes on"
        if conversation.phase is Phase.FENCED is not before:
            assert self.database.epoch > conversation.epoch, "fenced by nobody"
        for effect in effects:
            check_effect(self.database, seat, effect, before, self.now)
            self._take(seat, effect)
        if conversation.phase not in OWNED:
            assert seat.ai_call is None
            assert all(not isinstance(effect, fx.CallAi | fx.Deliver) for effect in effects)

    def _take(self, seat: Seat, effect: fx.Effect) -> None:
        match effect:
            case fx.Tell():
                self.told.setdefault(effect.message_id, []).append(effect)
                if effect.word is not fx.Word.STARTED:
                    seat.callers.discard(effect.message_id)
            case fx.SaveState():
                pass
            case fx.AbandonAi():
                assert seat.ai_call in (None, (effect.job_id, effect.call))
                seat.ai_call = None
            case fx.Passivate():
                self._forget(seat)
            case fx.HandOver():
                callers = seat.callers & set(effect.message_ids)
                seat.callers -= callers
                told: list[tuple[str, ...]] = [(it,) for it in sorted(callers)]
                for ids in told or [()]:
                    self.requests.append(Request(seat, fx.HandOver(effect.owner, ids)))
            case _:
                if isinstance(effect, fx.CallAi):
                    seat.ai_call = (effect.job_id, effect.call)
                if isinstance(effect, fx.ReleaseLease):
                    seat.is_owner = False
                self.requests.append(Request(seat, effect))

    def _forget(self, seat: Seat) -> None:
        if self.checks_callers:
            assert not seat.callers, f"forgotten, and never told: {seat.callers}"
        seat.is_gone = True
        self.seats[seat.host] = None

    def _live(self) -> list[str]:
        return [host for host, seat in self.seats.items() if seat is not None]

    # ------------------------------------------------------------------------ what the world does

    def perform(self, request: Request, choice: str = "well") -> None:
        """Do what was asked; its answer is then on its way. ``choice`` says how it goes."""
        if request.event is not None:
            self._answer(request)
            return
        request.event = self._event(request.seat, request.effect, choice)
        if request.event is None:
            self.requests.remove(request)

    def _answer(self, request: Request) -> None:
        self.requests.remove(request)
        seat, event = request.seat, request.event
        if isinstance(event, e.AiAnswered | e.AiFailed) and seat.ai_call == (
            event.job_id,
            event.call,
        ):
            seat.ai_call = None
        if not seat.is_gone and event is not None:
            self._receive(seat, event)

    def _event(self, seat: Seat, effect: fx.Effect, choice: str) -> e.Event | None:
        if isinstance(effect, fx.HandOver):
            host = effect.owner or next(it for it in self.seats if it != seat.host)
            for message_id in effect.message_ids or (None,):
                self.give(host, e.Poked(message_id, self.database.epoch), caller=message_id)
            return None
        holder_is_alive = self.lease is not None and self.seats[self.lease[0]] is not None
        return self.do(seat, effect, choice, holder_is_alive=holder_is_alive)

    def lose_answer(self, request: Request) -> None:
        """The database did what was asked and the answer was lost: it will be asked again."""
        self._event(request.seat, request.effect, "well")

    # ------------------------------------------------------------------------ time

    def advance(self, seconds: float) -> None:
        """Let time pass; nobody notices before the next tick."""
        self.now += seconds

    def tick(self, host: str) -> None:
        """Tell a host's conversation that time has passed, if something is due."""
        seat = self.seats[host]
        if seat is None:
            return
        deadline = seat.conversation.deadline()
        if deadline is not None and deadline <= self.now:
            self._receive(seat, e.Tick())

    def renew(self, host: str) -> None:
        """Renew a host's lease, as its lease keeper does."""
        seat = self.seats[host]
        if seat is None:
            return
        conversation = seat.conversation
        if conversation.phase not in OWNED and conversation.phase is not Phase.CLAIMING:
            return
        lock_id, until = conversation.lock_id, self.now + TTL - MARGIN
        if self.has_redis:
            if self.lease is None or self.lease[2] <= self.now or self.lease[1] == lock_id:
                self.lease = (host, lock_id, self.now + TTL)
                self._receive(seat, e.LeaseRenewed(lock_id, e.LeaseKind.REDIS, until))
            else:
                self._receive(seat, e.LeaseLost(lock_id))
        elif conversation.phase in OWNED:
            kind = e.LeaseKind.DATABASE
            if self.database.renew(conversation.epoch, host, kind, self.now + TTL):
                self._receive(seat, e.LeaseRenewed(lock_id, kind, until))
            else:
                self._receive(seat, e.LeaseLost(lock_id))

    def sweep(self, host: str) -> None:
        """Route again what nobody seems to work on."""
        holder = self.lease[0] if self.lease is not None and self.lease[2] > self.now else host
        seat = self.seats[holder]
        turn = seat.conversation.turn if seat is not None else None
        for message in self.database.pending:
            if turn is None or not turn.holds(message.message_id):
                poke = e.Poked(message.message_id, self.database.epoch, message.job_id)
                self.give(holder, poke)
        if any(job.due_at <= self.now for job in self.database.undelivered):
            self.give(holder, e.Poked(None, self.database.epoch))

    # ------------------------------------------------------------------------ the end

    def settle(self, host: str = "host-0") -> None:
        """Let everything go well until nothing is left to do."""
        self.has_redis = True
        for round_number in range(400):
            for _ in range(500 + 50 * len(self.database.rows)):
                if not self.requests:
                    break
                self.perform(self.requests[0])
            assert not self.requests, "it never comes to rest"
            is_done = not self.database.pending and not self.database.undelivered
            if is_done and not self._live():
                return
            self.advance(1.0 if round_number < 100 else 7.0)
            for name in self.seats:
                self.tick(name)
                if round_number % 5 == 0 and not is_done:
                    self.renew(name)
            if round_number % 3 == 0:
                self.sweep(host)
        raise AssertionError("work is left over")

    def check_end(self) -> None:
        """Check that every message was decided once, and that every job is final."""
        check_end(self.database, self.sent)
