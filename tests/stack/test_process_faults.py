"""Processes of the product are stopped or killed at the very point where it hurts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, RedisServer, start_postgres, start_redis
from tests.stack.ask import asked_ai, message
from tests.stack.conftest import settings_of
from tests.stack.fault_points.control import FaultPoints
from tests.stack.history import History, install_audit
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import open_traffic


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = start_postgres(tmp_path_factory.mktemp("points-postgres"))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("points-redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def all_points(tmp_path_factory: pytest.TempPathFactory) -> FaultPoints:
    return FaultPoints(tmp_path_factory.mktemp("points") / "points")


@pytest.fixture
def points(all_points: FaultPoints) -> Iterator[FaultPoints]:
    """The points of ``victim``; nobody is left standing at one of them."""
    yield all_points
    all_points.disarm_all()


@pytest.fixture(scope="module")
def victim(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    all_points: FaultPoints,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of our own whose processes can be struck at points."""
    settings = settings_of(stubs, postgres, redis) | all_points.environment
    server = Server(tmp_path_factory.mktemp("points-server"), **settings).start()
    install_audit(postgres.url)
    yield server
    server.close()


async def test_a_host_stopped_between_lease_check_and_commit_commits_nothing_when_it_wakes(
    victim: Server,
    stubs: Stubs,
    postgres: PostgresServer,
    points: FaultPoints,
    conversation_id: str,
) -> None:
    armed = points.arm("turn.before_commit", signal.SIGSTOP, conversation_id)
    async with open_traffic(victim.url) as traffic:
        sending = asyncio.create_task(traffic.send(message(conversation_id)))
        sleeper = await armed.stopped()
        # Its successor asks the AI too, and is not done when it wakes.
        finish = stubs.hold(conversation_id)
        await asked_ai(stubs, conversation_id, 2)
        sleeper.resume()
        await traffic.send(message(conversation_id, "good morning"))
        finish()
        assert (await sending)["status"] in ("completed", "restart_needed")
    history = await History.when_over(postgres.url, stubs, [conversation_id])
    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
