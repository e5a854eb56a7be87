"""Whether an event answers something that was given up meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.conversation import events as e
from actors.conversation.outbox import OutboxState

if TYPE_CHECKING:
    from actors.conversation.conversation import Conversation

_DELIVERY_STATES = {
    e.DeliveryCounted: OutboxState.COUNTING,
    e.DeliveryEnded: OutboxState.SENDING,
    e.DeliveryRecorded: OutboxState.RECORDING,
}


def is_stale(conversation: Conversation, event: e.Event) -> bool:
    """Answer by the numbers that the event carries; events that answer nothing are never stale."""
    match event:
        case (
            e.LeaseGranted()
            | e.LeaseRefused()
            | e.LeaseUnknown()
            | e.Claimed()
            | e.ClaimStale()
            | e.ClaimRefused()
            | e.ClaimMissing()
        ):
            return event.attempt != conversation.attempt
        case e.LeaseRenewed() | e.LeaseLost():
            return event.lock_id != conversation.lock_id
        case e.PendingFetched():
            return conversation.fetching is None or event.attempt != conversation.fetch_attempt
        case e.TurnStarted() | e.AiAnswered() | e.AiFailed() | e.TurnCommitted():
            turn = conversation.turn
            return turn is None or (event.job_id, event.call) != (turn.job_id, turn.call)
        case e.MessageSettled():
            return (
                event.epoch != conversation.epoch or event.message_id not in conversation.settling
            )
        case e.DeliveryCounted() | e.DeliveryEnded() | e.DeliveryRecorded():
            first = conversation.outbox.first
            expected = _DELIVERY_STATES[type(event)]
            if first is None or conversation.outbox.state is not expected:
                return True
            return (event.epoch, event.job_id) != (conversation.epoch, first.job_id)
        case _:
            return False
