"""Of the turns that may kill their host one runs at a time."""

from __future__ import annotations

import asyncio

from actors.conversation import Conversation, Limits
from actors.conversation.turn import Turn
from actors.seat import Seat
from actors.trials import Trials
from tests.unit.conversation.script import message


def seat_with_turn(name: str) -> Seat:
    seat = Seat(Conversation(name, Limits()))
    seat.conversation.turn = Turn(f"j{name}", [message(name, 1)], 0.0, 1)
    return seat


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_runs_and_the_others_wait_in_order() -> None:
    trials = Trials()
    seats = [seat_with_turn(name) for name in "abc"]
    entering = [
        asyncio.create_task(trials.enter(seat, f"j{seat.conversation_id}", 1)) for seat in seats
    ]
    for number, seat in enumerate(seats):
        await settle()
        assert [task.done() for task in entering] == [place <= number for place in range(3)]
        seat.conversation.turn = None
        trials.look(seat)
    assert [await task for task in entering] == [True] * 3


async def test_a_turn_that_ended_while_it_waited_does_not_begin() -> None:
    trials = Trials()
    first, second, third = (seat_with_turn(name) for name in "abc")
    assert await trials.enter(first, "ja", 1)
    waiting = [
        asyncio.create_task(trials.enter(second, "jb", 1)),
        asyncio.create_task(trials.enter(third, "jc", 1)),
    ]
    await settle()
    second.conversation.turn = None
    trials.leave(first)
    assert [await task for task in waiting] == [False, True]


async def test_one_that_gives_up_waiting_keeps_nobody_waiting() -> None:
    trials = Trials()
    first, second, third = (seat_with_turn(name) for name in "abc")
    assert await trials.enter(first, "ja", 1)
    gone = asyncio.create_task(trials.enter(second, "jb", 1))
    waiting = asyncio.create_task(trials.enter(third, "jc", 1))
    await settle()
    trials.leave(first)  # the place is promised to the second, which is cancelled as it wakes
    gone.cancel()
    assert await waiting
    await asyncio.wait([gone])
    assert gone.cancelled()


async def test_a_seat_without_the_place_frees_nothing() -> None:
    trials = Trials()
    first, second = (seat_with_turn(name) for name in "ab")
    assert await trials.enter(first, "ja", 1)
    waiting = asyncio.create_task(trials.enter(second, "jb", 1))
    await settle()
    trials.leave(second)
    trials.look(second)
    trials.look(first)
    await settle()
    assert not waiting.done()
    first.conversation.turn = None
    trials.look(first)
    assert await waiting
