"""A host's load, kept up to date event by event, is what a count of everything would give."""

from __future__ import annotations

import random

import pytest

from actors.conversation import Conversation, Limits
from actors.conversation.phase import IN_TURN, OWNED, Phase
from actors.host_load import HostLoad, is_idle
from actors.seat import Seat
from tests.unit.conversation.script import QUEUE, Script


def seat_of(conversation_id: str, script: Script) -> Seat:
    conversation = script.conversation
    conversation.conversation_id = conversation_id
    return Seat(conversation)


def test_the_sums_are_those_of_all_conversations() -> None:
    schedule = random.Random(7)
    scripts = {f"c{number}": Script(QUEUE).own() for number in range(5)}
    seats = {key: seat_of(key, script) for key, script in scripts.items()}
    load = HostLoad()
    names = iter(range(1_000))
    most_calling = 0
    for _ in range(300):
        key = schedule.choice(sorted(scripts))
        script = scripts[key]
        if script.phase in IN_TURN and schedule.random() < 0.4:
            script.answered()
            script.committed()
        else:
            script.receive(str(next(names)))
        load.note(seats[key])
        most_calling = max(most_calling, load.calling)
    assert most_calling > 0
    conversations = [it.conversation for it in seats.values()]
    assert load.turns == sum(it.phase in IN_TURN for it in conversations)
    assert load.waiting_messages == sum(len(it.mailbox) for it in conversations)
    assert load.busy == sum(it.is_working and not it.is_stopped for it in conversations)
    assert load.calling == sum(it.phase is Phase.CALLING for it in conversations)
    assert load.busyness() == pytest.approx((load.busy - load.calling) / 100)
    assert load.redis_leases == sum(it.phase in OWNED for it in conversations)
    assert load.characters == sum(it.characters for it in conversations) > 0
    for seat in seats.values():
        load.forget(seat)
    sums = (load.busy, load.turns, load.waiting_messages, load.characters, load.redis_leases)
    assert sums == (0, 0, 0, 0, 0)


def test_a_hot_conversation_is_one_busy_conversation() -> None:
    script = Script(QUEUE).own()
    seat = seat_of("hot", script)
    load = HostLoad()
    for number in range(1_000):
        script.receive(str(number))
        load.note(seat)
    assert load.busy == 1
    assert load.waiting_messages == Limits().waiting_messages
    assert load.is_busy(seat)


def test_what_is_not_in_memory_is_not_idle() -> None:
    assert not is_idle(Conversation("c", Limits()))
    assert is_idle(Script().own().conversation)
