"""The way to PostgreSQL breaks at the worst moment, or the server does; what was said holds.

The end of a turn, as the acceptance of a message, is one statement that commits by itself: what the
proxy waits for, to cut a connection during that commit, is its parameters.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.health import health_becomes
from tests.stack.history import History, Verdict, Watch
from tests.stack.proxy import Direction, Proxy, Wrong
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, conversations_for, in_the_middle

pytestmark = pytest.mark.timeout(180)

BLACK_HOLE_SECONDS = 10.0


@pytest.fixture(scope="module")
def own_settings(way_to_postgres: Proxy) -> dict[str, str]:
    return {"DATABASE_URL": way_to_postgres.url}


@pytest.mark.parametrize("wrong", list(Wrong), ids=lambda wrong: wrong.name.lower())
async def test_a_connection_cut_during_the_commit_of_a_turn_leaves_one_commit(
    wrong: Wrong,
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    way_to_postgres: Proxy,
    conversation_id: str,
) -> None:
    body = message(conversation_id, f"hello {conversation_id}")
    # Of all that goes to the database, only the commit has the answer in it.
    trigger = way_to_postgres.when(f"answer to {body['message_content']}".encode(), wrong)
    assert (await traffic.send(body))["status"] == "completed"
    assert trigger.happened.is_set()
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=True)


@pytest.mark.parametrize("wrong", list(Wrong), ids=lambda wrong: wrong.name.lower())
async def test_a_connection_cut_while_a_message_is_stored_stores_it_once(
    wrong: Wrong,
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    way_to_postgres: Proxy,
    conversation_id: str,
) -> None:
    body = message(conversation_id, f"hello {conversation_id}")
    trigger = way_to_postgres.when(body["message_content"].encode(), wrong)
    assert (await traffic.send(body))["status"] == "completed"
    assert trigger.happened.is_set()
    await traffic.check_history(postgres, stubs, [conversation_id], is_undisturbed=True)


async def test_all_connections_cut_at_once_are_made_again(
    traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_postgres: Proxy
) -> None:
    ids = conversations_for(stubs, "cut")
    sending = await in_the_middle(traffic, stubs, ids)
    assert way_to_postgres.cut() > 0
    await sending
    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)


async def test_a_database_killed_and_started_again_has_all_that_was_accepted(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "killed")
    sending = await in_the_middle(traffic, stubs, ids)
    await asyncio.to_thread(postgres.kill)
    killed_at = time.monotonic()
    await health_becomes(victim, "unhealthy")
    during = asyncio.create_task(traffic.send_all([message(it, "is anybody there?") for it in ids]))
    await asyncio.to_thread(postgres.start)
    started_at = time.monotonic()
    await health_becomes(victim, "healthy")
    await sending
    await during
    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    print(f"killed: away for {started_at - killed_at:.1f} s, {len(traffic.refusals)} refused;")
    print(f"settled {time.monotonic() - started_at:.1f} s after it was back")


async def test_a_database_behind_a_black_hole_for_ten_seconds_loses_nothing_and_repeats_nothing(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_postgres: Proxy
) -> None:
    ids = conversations_for(stubs, "hole")
    sending = await in_the_middle(traffic, stubs, ids)
    async with Watch(victim) as watch:
        with way_to_postgres.black_hole():
            began_at = time.monotonic()
            during = asyncio.create_task(
                traffic.send_all([message(it, "is anybody there?") for it in ids])
            )
            unhealthy_after = await health_becomes(victim, "unhealthy", BLACK_HOLE_SECONDS)
            await asyncio.sleep(began_at + BLACK_HOLE_SECONDS - time.monotonic())
            ended_at = time.monotonic()
        healthy_after = await health_becomes(victim, "healthy", 30)
        await sending
        await during
        history = await History.when_over(postgres.url, stubs, ids)
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    watch.check()
    told = [it for it in traffic.requests if it.verdict is Verdict.OK and it.started_at > began_at]
    assert min(it.ended_at for it in told) > ended_at, "told that it is stored when it could not be"
    settled_after = time.monotonic() - ended_at
    print(f"black hole: unhealthy after {unhealthy_after:.1f} s, {len(traffic.refusals)} refused;")
    print(f"healthy {healthy_after:.1f} s after it ended, settled {settled_after:.1f} s after it")


async def test_answers_of_the_database_that_get_lost_for_longer_than_the_lease_do_no_harm(
    victim: Server, traffic: Traffic, stubs: Stubs, postgres: PostgresServer, way_to_postgres: Proxy
) -> None:
    """Everything is done, and nobody hears of it."""
    ids = conversations_for(stubs, "deaf")
    sending = await in_the_middle(traffic, stubs, ids)
    with way_to_postgres.black_hole(direction=Direction.TO_CLIENT):
        await asyncio.sleep(2 * LEASE_SECONDS)
    await sending
    await health_becomes(victim, "healthy", 30)
    await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
