"""One conversation driven by hand: events in, effects out, with short names for the usual ones."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

from actors.conversation import BusyPolicy, Conversation, Limits, Line, Message, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.outbox import Delivery

Effect = TypeVar("Effect")
MERGE = Policy()
QUEUE = Policy(busy_policy=BusyPolicy.QUEUE)
RESTART = Policy(busy_policy=BusyPolicy.RESTART)
REJECT = Policy(busy_policy=BusyPolicy.REJECT)


def message(name: str, seq: int, policy: Policy = MERGE, **fields: Any) -> Message:
    """A user's message ``m<name>`` with the job ``j<name>``."""
    values: dict[str, Any] = {
        "message_id": f"m{name}",
        "job_id": f"j{name}",
        "seq": seq,
        "sender_type": "user",
        "sender_id": "someone",
        "content": f"text {name}",
        "timestamp": float(seq),
        "accepted_at": float(seq),
        "policy": policy,
    }
    return Message(**(values | fields))


class Script:
    """A conversation and the effects of its last event."""

    def __init__(self, policy: Policy = MERGE, limits: Limits | None = None) -> None:
        self.policy = policy
        self.conversation = Conversation("conversation", limits or Limits())
        self.now = 0.0
        self.effects: tuple[fx.Effect, ...] = ()
        self.seq = 0
        self.epoch = 0
        """The epoch of the claim last asked for."""

    # ------------------------------------------------------------------------ looking

    @property
    def phase(self) -> Phase:
        return self.conversation.phase

    def all(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def one(self, kind: type[Effect]) -> Effect:
        (effect,) = self.all(kind)
        return effect

    def words(self) -> dict[str, fx.Word]:
        """The last word that each message's callers were told by the last event."""
        return {tell.message_id: tell.word for tell in self.all(fx.Tell)}

    def told(self, name: str) -> fx.Tell:
        return [tell for tell in self.all(fx.Tell) if tell.message_id == f"m{name}"][-1]

    def snapshot(self) -> dict[str, Any]:
        """Everything that the conversation holds."""
        conversation = self.conversation
        return {name: _plain(getattr(conversation, name)) for name in Conversation.__slots__}

    # ------------------------------------------------------------------------ events

    def give(self, event: e.Event) -> tuple[fx.Effect, ...]:
        self.effects = self.conversation.receive(event, self.now)
        for claim in self.all(fx.Claim):
            self.epoch = claim.epoch
        return self.effects

    def receive(self, name: str, policy: Policy | None = None, **fields: Any) -> None:
        """A message accepted under the epoch that holds."""
        self.seq = fields.pop("seq", self.seq + 1)
        new = message(name, self.seq, policy or self.policy, **fields)
        self.give(e.MessageReceived(new, self.conversation.epoch))

    def agent(self, name: str) -> None:
        self.receive(name, sender_type="agent")

    def grant(self) -> None:
        self.give(e.LeaseGranted(self.conversation.attempt, "lock", self.now + 28.0))

    def claim(
        self,
        *messages: Message,
        status: str = "active",
        deliveries: tuple[tuple[Delivery, float], ...] = (),
        has_more: bool = False,
        last_activity_at: float = 0.0,
        trusted_until: float | None = None,
        attempts: int = 1,
        last_seq: int = 0,
    ) -> None:
        """The claim succeeds and brings these."""
        conversation = self.conversation
        self.seq = max([self.seq, *(it.seq for it in messages)])
        self.give(
            e.Claimed(
                attempt=conversation.attempt,
                epoch=self.epoch + 1,
                trusted_until=self.now + 1e6 if trusted_until is None else trusted_until,
                status=status,
                position=0,
                last_activity_at=last_activity_at,
                context=(Line("user", "before"),),
                messages=messages,
                deliveries=deliveries,
                has_more=has_more,
                attempts=attempts,
                last_seq=last_seq,
            )
        )

    def own(self, *messages: Message, **claim: Any) -> Script:
        """Become the owner."""
        self.give(e.Poked(None, self.conversation.epoch))
        self.grant()
        self.claim(*messages, **claim)
        return self

    def started(self, fate: e.Fate = e.Fate.DONE) -> None:
        turn = self._turn
        self.give(e.TurnStarted(turn.job_id, turn.call, fate))

    def answered(self, reply: str = "reply", **answer: Any) -> None:
        turn = self._turn
        self.give(e.AiAnswered(turn.job_id, turn.call, e.Answer(reply, "payload", **answer)))

    def ai_failed(self, reason: str = "ai_error") -> None:
        turn = self._turn
        self.give(e.AiFailed(turn.job_id, turn.call, reason))

    def committed(self, fate: e.Fate = e.Fate.DONE, *, delivers: bool = True) -> None:
        turn = self._turn
        ids = tuple(it.message_id for it in turn.ordered)
        delivery = Delivery(turn.job_id, turn.policy.bot_id, "body", ids) if delivers else None
        self.give(e.TurnCommitted(turn.job_id, turn.call, fate, delivery, "result"))

    def counted(self, job_id: str, fate: e.Fate = e.Fate.DONE) -> None:
        self.give(e.DeliveryCounted(self.conversation.epoch, job_id, fate))

    def delivered(self, job_id: str, result: str = "sent", retry_at: float = 0.0) -> None:
        """An attempt ends and that is written down."""
        epoch = self.conversation.epoch
        self.give(e.DeliveryEnded(epoch, job_id, result, 1, retry_at))
        self.give(e.DeliveryRecorded(epoch, job_id, result, e.Fate.DONE, 1, retry_at))

    def settled(self, name: str, fate: e.Fate = e.Fate.DONE) -> None:
        self.give(e.MessageSettled(self.conversation.epoch, f"m{name}", fate))

    def fetched(self, *messages: Message, complete: bool = True) -> None:
        self.give(e.PendingFetched(self.conversation.fetch_attempt, messages, complete))

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.give(e.Tick())

    def turn(self, name: str) -> None:
        """A whole turn over one message, delivered."""
        self.receive(name)
        self.started()
        self.answered()
        self.committed()
        self.delivered(f"j{name}")

    @property
    def _turn(self) -> Any:
        assert self.conversation.turn is not None
        return self.conversation.turn


def _plain(value: Any) -> Any:
    """A copy that can be compared."""
    if hasattr(value, "__slots__") and not hasattr(value, "__dataclass_fields__"):
        names = [name for name in value.__slots__ if name != "_limits"]
        return {name: _plain(getattr(value, name)) for name in names}
    return deepcopy(value)
