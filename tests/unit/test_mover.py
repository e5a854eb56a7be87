"""When a host gives up which of its conversations."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from actors.conversation import Conversation, Limits, Phase
from actors.conversation.events import Released
from actors.mover import IDLE_AT_A_TIME, Mover
from actors.router import Host, RoutingTable
from actors.runner import Runner
from actors.seat import Seat
from actors.shards import Shards


class Conversations:
    """Conversations in a host's memory, and the order in which they are given up."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.given_up: list[str] = []

    def add(self, count: int, phase: Phase = Phase.IDLE) -> list[str]:
        ids = [f"{phase.value}-{number}" for number in range(count)]
        for conversation_id in ids:
            conversation = Conversation(conversation_id, Limits())
            conversation.phase = phase
            self.seats[conversation_id] = Seat(conversation)
        return ids

    def dispatch(self, seat: Seat, event: Any) -> None:
        assert isinstance(event, Released)
        self.given_up.append(seat.conversation_id)
        if seat.conversation.phase is Phase.IDLE:
            del self.seats[seat.conversation_id]
        else:
            seat.conversation.is_draining = True


def mover_of(conversations: Conversations, *hosts: str) -> tuple[Mover, Shards]:
    shards = Shards("a")
    shards.table = RoutingTable(version=1, hosts=[Host(name=it, incarnation="1") for it in hosts])
    return Mover(cast("Runner", conversations), shards), shards


async def test_a_new_table_makes_a_host_give_up_what_is_not_its_own_and_only_that() -> None:
    conversations = Conversations()
    ids = conversations.add(100)
    mover, shards = mover_of(conversations, "a", "b")
    mover.note_table()
    await mover.move()
    assert set(conversations.given_up) == {it for it in ids if shards.is_foreign(it)}
    assert 0 < len(conversations.given_up) < len(ids)


async def test_without_a_new_table_nothing_is_looked_for() -> None:
    conversations = Conversations()
    conversations.add(100)
    mover, _ = mover_of(conversations, "a", "b")
    await mover.move()
    assert not conversations.given_up


async def test_what_is_under_way_is_asked_first_and_the_idle_ones_follow_a_few_at_a_time() -> None:
    conversations = Conversations()
    conversations.add(4 * IDLE_AT_A_TIME)
    busy = conversations.add(50, Phase.CALLING)
    mover, shards = mover_of(conversations, "a", "b", "c", "d")
    mover.note_table()
    moving = asyncio.create_task(mover.move())
    await asyncio.sleep(0)
    asked = {it for it in busy if shards.is_foreign(it)}
    assert set(conversations.given_up[: len(asked)]) == asked
    assert len(conversations.given_up) == len(asked) + IDLE_AT_A_TIME
    await moving
    assert len(conversations.given_up) > len(asked) + IDLE_AT_A_TIME


async def test_a_conversation_is_asked_once() -> None:
    conversations = Conversations()
    conversations.add(50, Phase.CALLING)
    mover, _ = mover_of(conversations, "a", "b")
    for _ in range(3):
        mover.note_table()
        await mover.move()
    assert len(conversations.given_up) == len(set(conversations.given_up)) > 0


async def test_a_guest_is_sent_home_without_a_new_table() -> None:
    conversations = Conversations()
    ids = conversations.add(50)
    mover, shards = mover_of(conversations, "a", "b")
    guest = next(it for it in ids if shards.is_foreign(it))
    mover.note_guest(guest)
    await mover.move()
    assert conversations.given_up == [guest]
