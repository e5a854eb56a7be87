"""Many messages of many conversations at once: each is answered once, in order."""

from __future__ import annotations

import random
import uuid

import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.history import History
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import open_traffic

CONVERSATIONS = 100
MESSAGES = 500
pytestmark = pytest.mark.timeout(180)


async def test_each_of_500_messages_sent_twice_is_answered_in_exactly_one_turn(
    server: Server, stubs: Stubs, stack_postgres: PostgresServer
) -> None:
    run = uuid.uuid4().hex[:8]
    conversations = [f"many_{run}_{number}" for number in range(CONVERSATIONS)]
    schedule = random.Random(1)
    bodies = [
        message(conversations[number % CONVERSATIONS], f"text {number}", timestamp=1_700_000_000)
        for number in range(MESSAGES)
    ]
    twice = bodies + bodies
    schedule.shuffle(twice)
    # The first hundred go out beside their twins, at the same moment.
    together = [it for body in bodies[:100] for it in (body, body)]

    async with open_traffic(server.url, concurrency=200) as traffic:
        await traffic.send_all(together)
        await traffic.send_all(twice)

    history = await History.when_over(stack_postgres.url, stubs, conversations)
    history.check(traffic.bodies, is_undisturbed=True)
    assert len(traffic.bodies) == MESSAGES
    assert not traffic.refusals
    assert set(traffic.statuses()) <= {"completed", "restart_needed", "locked"}
    waits = sorted(traffic.waits)
    print(f"answers: {traffic.statuses()}; median wait {waits[len(waits) // 2]:.2f} s", end=", ")
    print(f"longest {waits[-1]:.2f} s")
