"""The suite has teeth: with a guard taken out of the product, the checker finds what comes of it.

Every scenario is played as the product is first, and passes; then without the guard, and must not.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from storage.postgres import Database
from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.fault_points.control import FaultPoints
from tests.stack.history import History
from tests.stack.proxy import Proxy
from tests.stack.server import wait_for
from tests.stack.sleepers import stopped_at, woken_before_its_commit
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic

pytestmark = pytest.mark.timeout(180)

_UNIQUE = "messages_conversation_id_message_id_key"


@pytest.fixture(scope="module")
def own_settings(way_to_redis: Proxy, all_points: FaultPoints) -> dict[str, str]:
    """Guards can be taken out of ``victim``."""
    return {"REDIS_URL": way_to_redis.url, "RESPONSE_WAIT_SECONDS": "8", **all_points.environment}


def check(history: History, traffic: Traffic) -> None:
    ours = {
        message_id: body
        for message_id, body in traffic.bodies.items()
        if body["conversation_id"] in history.stories
    }
    history.check(ours, is_undisturbed=False, requests=traffic.requests)


def new_id() -> str:
    return f"teeth_{uuid.uuid4().hex}"


async def commit_by_a_former_owner(
    traffic: Traffic, stubs: Stubs, postgres: PostgresServer, points: FaultPoints
) -> tuple[History, asyncio.Task[None], str]:
    """A host stops before its commit and wakes when another is at work; return what holds then.

    The other one may finish, which the task that is returned waits for.
    """
    conversation_id = new_id()
    finish, sending = await woken_before_its_commit(traffic, stubs, points, conversation_id)

    async def finished() -> None:
        finish()
        await sending

    history = await History.read(postgres.url, stubs, [conversation_id])
    return history, asyncio.create_task(finished()), conversation_id


async def test_without_the_epoch_check_a_former_owners_commit_is_found(
    traffic: Traffic, stubs: Stubs, postgres: PostgresServer, points: FaultPoints
) -> None:
    _, finished, conversation_id = await commit_by_a_former_owner(traffic, stubs, postgres, points)
    await finished
    check(await History.when_over(postgres.url, stubs, [conversation_id]), traffic)

    with points.mutated("no_epoch_check"):
        history, finished, _ = await commit_by_a_former_owner(traffic, stubs, postgres, points)
        with pytest.raises(AssertionError, match=r"\(D\) job .* was committed under epoch"):
            history.check({}, is_undisturbed=False)  # nobody has had an answer yet
        await finished


async def delivery_by_a_former_owner(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    way_to_redis: Proxy,
    sendings: int,
) -> History:
    """A host stops before its last look at the lease and wakes when another has delivered."""
    conversation_id = new_id()
    sleeper, sending = await stopped_at("delivery.before_check", traffic, points, conversation_id)
    await History.when_over(postgres.url, stubs, [conversation_id])
    # Redis cannot tell it that the lease is another's by now: it has only its clock.
    with way_to_redis.black_hole(sleeper):
        sleeper.resume()
        await sending
        await traffic.send(message(conversation_id, "good morning"))

        async def are_sent() -> bool:
            return len(stubs.delivered(conversation_id)) >= sendings

        await wait_for(are_sent, what=f"{sendings} deliveries")
        return await History.when_over(postgres.url, stubs, [conversation_id])


async def test_without_the_trust_window_a_former_owners_delivery_is_found(
    traffic: Traffic,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    way_to_redis: Proxy,
) -> None:
    arguments = (traffic, stubs, postgres, points, way_to_redis)
    check(await delivery_by_a_former_owner(*arguments, sendings=2), traffic)

    with points.mutated("no_trust_window"):
        history = await delivery_by_a_former_owner(*arguments, sendings=3)
    with pytest.raises(AssertionError, match=r"\(D\) .* was sent again after it was recorded"):
        check(history, traffic)


@asynccontextmanager
async def without_uniqueness(postgres: PostgresServer) -> AsyncIterator[None]:
    """Let one message id be stored twice; what was stored so is removed at the end."""
    database = await Database.connect(postgres.url, max_connections=1)
    try:
        await database.fetch(f"alter table messages drop constraint {_UNIQUE}")
        yield
        await database.fetch(
            """delete from conversations where conversation_id in (
                select conversation_id from messages
                group by conversation_id, message_id having count(*) > 1
            )"""
        )
        await database.fetch(
            f"alter table messages add constraint {_UNIQUE} unique (conversation_id, message_id)"
        )
    finally:
        await database.close()


async def repeated_message(traffic: Traffic, stubs: Stubs, postgres: PostgresServer) -> History:
    """A client sends a message again that was answered."""
    body = message(new_id())
    for _ in range(2):
        await traffic.send(body)
    return await History.read(postgres.url, stubs, [body["conversation_id"]])


async def test_without_dedupe_a_message_that_is_stored_twice_is_found(
    traffic: Traffic, stubs: Stubs, postgres: PostgresServer, points: FaultPoints
) -> None:
    check(await repeated_message(traffic, stubs, postgres), traffic)

    async with without_uniqueness(postgres):
        with points.mutated("no_dedupe"):
            history = await repeated_message(traffic, stubs, postgres)
            with pytest.raises(AssertionError, match=r"\(A\) stored more than once"):
                check(history, traffic)
