"""What a host does with the answers to what its conversations ask for."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from actors.conversation import Phase
from actors.conversation import effects as fx
from actors.conversation.events import AiAnswered, Answer, LeaseKind, LeaseRenewed
from actors.outcome_streams import OutcomeStreams
from actors.resources import Resources
from actors.runner import Runner
from actors.seat import Seat
from storage.settings import Settings
from tests.unit.conversation.script import Script

TRUST_SECONDS = 0.2


def runner() -> Runner:
    resources = SimpleNamespace(
        settings=Settings(_env_file=None),
        bots=SimpleNamespace(max_context_messages=20),
        redis=None,
        owner="a#1",
        outcomes=OutcomeStreams(),
    )
    return Runner(cast("Resources", cast("Any", resources)))


def phase_of(seat: Seat) -> Phase:
    return seat.conversation.phase


async def test_a_write_that_ends_with_the_trust_is_not_waited_for_when_the_lease_is_renewed() -> (
    None
):
    given_up = asyncio.Event()

    async def write(seat: Seat, effect: Any) -> None:
        await given_up.wait()

    async def do_nothing(seat: Seat, effect: Any) -> None:
        """Nobody waits for it here."""

    script = Script()
    script.now = time.monotonic()
    script.own(trusted_until=script.now + TRUST_SECONDS)
    script.receive("1")
    conversation = script.conversation
    host, seat = runner(), Seat(conversation)
    host.seats[conversation.conversation_id] = seat
    host._performers |= {fx.CommitTurn: write, fx.ReleaseLease: do_nothing}
    turn = conversation.turn
    assert turn is not None
    host.dispatch(seat, AiAnswered(turn.job_id, turn.call, Answer("reply", "payload")))
    assert phase_of(seat) is Phase.COMMITTING
    await asyncio.sleep(0)
    time.sleep(TRUST_SECONDS)  # noqa: ASYNC251 -- the timer is to be due, and not to have fired
    given_up.set()
    await asyncio.sleep(0)
    until = time.monotonic() + 60
    host.dispatch(seat, LeaseRenewed("lock", LeaseKind.REDIS, until))
    await asyncio.sleep(0)
    assert phase_of(seat) is Phase.BLOCKED
    seat.stop()
