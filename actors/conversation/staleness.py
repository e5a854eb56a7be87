"""Whether an event answers something that was given up meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    look = _LOOKS.get(type(event))
    return look is not None and look(conversation, event)


def _is_of_another_attempt(conversation: Conversation, event: Any) -> bool:
    return bool(event.attempt != conversation.attempt)


def _is_of_another_lease(conversation: Conversation, event: Any) -> bool:
    return bool(event.lock_id != conversation.lock_id)


def _is_of_another_fetch(conversation: Conversation, event: Any) -> bool:
    return conversation.fetching is None or event.attempt != conversation.fetch_attempt


def _is_of_another_turn(conversation: Conversation, event: Any) -> bool:
    turn = conversation.turn
    return turn is None or (event.job_id, event.call) != (turn.job_id, turn.call)


def _is_settled(conversation: Conversation, event: Any) -> bool:
    return event.epoch != conversation.epoch or event.message_id not in conversation.settling


def _is_of_another_delivery(conversation: Conversation, event: Any) -> bool:
    first = conversation.outbox.first
    if first is None or conversation.outbox.state is not _DELIVERY_STATES[type(event)]:
        return True
    return (event.epoch, event.job_id) != (conversation.epoch, first.job_id)


# By type: it is asked for every event, and matching one kind after the other takes its time.
_LOOKS: dict[type, Callable[[Conversation, Any], bool]] = {
    **dict.fromkeys(
        (
            e.LeaseGranted,
            e.LeaseRefused,
            e.LeaseUnknown,
            e.Claimed,
            e.ClaimStale,
            e.ClaimRefused,
            e.ClaimMissing,
        ),
        _is_of_another_attempt,
    ),
    **dict.fromkeys((e.LeaseRenewed, e.LeaseLost), _is_of_another_lease),
    e.PendingFetched: _is_of_another_fetch,
    **dict.fromkeys(
        (e.TurnStarted, e.AiAnswered, e.AiFailed, e.TurnCommitted), _is_of_another_turn
    ),
    e.MessageSettled: _is_settled,
    **dict.fromkeys(_DELIVERY_STATES, _is_of_another_delivery),
}
