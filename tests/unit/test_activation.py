"""What a host takes from Redis with the lease."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.activation import Activation
from actors.conversation import Conversation, Limits
from actors.conversation.effects import AcquireLease
from actors.conversation.events import LeaseGranted
from actors.resources import Resources
from actors.seat import Seat
from storage.records import ContextEntry
from storage.redis_lease import LeaseAnswer, LeaseOutcome
from storage.redis_state import CachedState


def state_of(epoch: int) -> CachedState:
    return CachedState(
        conversation_id="c",
        epoch=epoch,
        position=4,
        last_message_id="m1",
        last_message_timestamp=1.0,
        is_running=False,
        waiting=0,
        status="active",
        owner="a#1",
        last_activity_at=1.0,
        context=[ContextEntry(role="user", content="said before")],
    )


@pytest.mark.parametrize(("epoch", "is_used"), [(2, True), (3, True), (4, False)])
async def test_a_context_is_not_that_of_an_erased_conversation(epoch: int, is_used: bool) -> None:
    async def activate(requests: list[Any]) -> list[Any]:
        return [(LeaseAnswer(LeaseOutcome.GRANTED, 0.0), state_of(epoch)) for _ in requests]

    resources = SimpleNamespace(
        redis=SimpleNamespace(activate=activate), trusted_until=lambda sent_at: sent_at + 28
    )
    activation = Activation(cast("Resources", cast("Any", resources)), cast("Any", None), 200)
    seat = Seat(Conversation("c", Limits()))
    seat.conversation.epoch = 3  # by the acceptance of the message that there is
    granted = await activation.acquire(seat, AcquireLease(1))
    assert isinstance(granted, LeaseGranted)
    assert (granted.cached_position == 4) is is_used
    assert bool(granted.cached_context) is is_used
