"""What a host tells the one that holds a conversation, in its own cluster or in another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.cluster_link import HostAddress
from actors.codec import Envelope, EnvelopeKind
from actors.conversation import Conversation, Limits
from actors.conversation.effects import HandOver
from actors.handing_over import HandingOver
from actors.resources import Resources
from actors.seat import Seat

THERE = HostAddress("b", "host-0#222")


class Told:
    """Takes what is told, for hosts of this cluster and of others."""

    def __init__(self) -> None:
        self.here: list[tuple[str | None, Envelope]] = []
        self.there: list[tuple[HostAddress, Envelope]] = []

    async def send(self, envelope: Envelope, host: str | None = None) -> bool:
        self.here.append((host, envelope))
        return True

    def tell(self, host: HostAddress, envelope: Envelope) -> None:
        self.there.append((host, envelope))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def handing_over(told: Told) -> HandingOver:
    shards = SimpleNamespace(keeper_of=lambda conversation_id: "host-1")
    resources = SimpleNamespace(hosts=told, clusters=told, shards=shards)
    return HandingOver(cast("Resources", cast("Any", resources)))


@pytest.fixture
def seat() -> Seat:
    seat = Seat(Conversation("c", Limits()))
    seat.conversation.epoch = 7
    seat.add_caller("m1", "ingress-1", hears_start=True)
    return seat


def poke(message_id: str | None, reply_to: str | None = None) -> Envelope:
    return Envelope(
        conversation_id="c",
        kind=EnvelopeKind.POKE,
        epoch=7,
        message_id=message_id,
        reply_to=reply_to,
        hears_start=reply_to is not None,
        hops=1,
    )


async def test_an_owner_in_another_cluster_is_told_there(
    handing_over: HandingOver, told: Told, seat: Seat
) -> None:
    await handing_over.hand_over(seat, HandOver(str(THERE), ("m1",)))
    assert told.there == [(THERE, poke("m1", "ingress-1"))]
    assert not told.here


async def test_an_owner_in_this_cluster_is_told_by_its_name(
    handing_over: HandingOver, told: Told, seat: Seat
) -> None:
    await handing_over.hand_over(seat, HandOver("host-1#111", ("m1",)))
    assert told.here == [("host-1", poke("m1", "ingress-1"))]
    assert not told.there


async def test_the_owner_is_told_of_messages_that_nobody_waits_for_too(
    handing_over: HandingOver, told: Told, seat: Seat
) -> None:
    """The sweeper found them: the owner does not know that they are there."""
    await handing_over.hand_over(seat, HandOver(str(THERE), ("m1", "m2")))
    assert [it for _, it in told.there] == [poke("m1", "ingress-1"), poke("m2")]


async def test_without_a_message_the_owner_is_told_that_there_may_be_work(
    handing_over: HandingOver, told: Told, seat: Seat
) -> None:
    await handing_over.hand_over(seat, HandOver(str(THERE), ()))
    assert [it for _, it in told.there] == [poke(None)]
