"""The running stack that most tests of this folder share, and what they ask it with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import PostgresServer, RedisServer, start_postgres, start_redis
from tests.stack.bots import BOTS, put_bots_of
from tests.stack.fault_points.control import FaultPoints
from tests.stack.history import History, install_audit
from tests.stack.inside import Inside, open_inside
from tests.stack.proxy import Proxy, proxy_to_postgres, proxy_to_redis
from tests.stack.server import ADMIN_TOKEN, Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, open_traffic

LEASE_SECONDS = 3
LONGEST_TEST_SECONDS = 120
"""The first test of a server pays for its start, on a machine that may have much else to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and give those their time that do not say how much."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LONGEST_TEST_SECONDS))


@pytest.fixture(scope="session")
def stubs() -> Iterator[Stubs]:
    """Return the AI service and the platform."""
    services = Stubs()
    services.start()
    yield services
    services.stop()


@pytest.fixture(scope="session")
def stack_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return the database server of the shared stack."""
    server = start_postgres(tmp_path_factory.mktemp("stack-postgres"))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def stack_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return the Redis of the shared stack."""
    server = start_redis(tmp_path_factory.mktemp("stack-redis"))
    yield server
    server.stop()


def settings_of(
    stubs: Stubs, postgres: PostgresServer, redis: RedisServer | None
) -> dict[str, str]:
    """Return the settings of a stack for tests, with a short lease."""
    settings = {
        "DATABASE_URL": postgres.url,
        "AI_SERVICE_URL": stubs.url,
        "AI_SERVICE_TIMEOUT": "10",
        "PANCAKE_BASE_URL": stubs.url,
        "PROCESSING_LOCK_TTL": str(LEASE_SECONDS),
        "RATE_LIMIT": "off",
        "CONVERSATION_HOSTS": "2",
    }
    if redis is not None:
        settings["REDIS_URL"] = redis.url
    return settings


@pytest.fixture(scope="session")
def server(
    stubs: Stubs,
    stack_postgres: PostgresServer,
    stack_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Return the shared stack."""
    directory: Path = tmp_path_factory.mktemp("stack")
    running = Server(directory, **settings_of(stubs, stack_postgres, stack_redis)).start()
    yield running
    running.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with the scope ``messages``."""
    async with server.client() as opened:
        yield opened


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with the scope ``admin``."""
    async with server.client(ADMIN_TOKEN) as opened:
        yield opened


@pytest.fixture(scope="session")
def bots(server: Server, stubs: Stubs) -> dict[str, str]:
    """Return the ids of the bots of ``tests.stack.bots``, known to every host, by their names."""
    put_bots_of(server, stubs, BOTS)
    return {name: name for name in BOTS}


@pytest.fixture
async def inside(stack_postgres: PostgresServer, stack_redis: RedisServer) -> AsyncIterator[Inside]:
    """Return a look at the rows and the leases of the stack."""
    async with open_inside(stack_postgres, stack_redis) as opened:
        yield opened


@pytest.fixture
async def checked(
    conversation_id: str, stack_postgres: PostgresServer, stubs: Stubs, inside: Inside
) -> AsyncIterator[None]:
    """Check the history of a test's conversations when it is over.

    Those are the ones whose ids begin with ``conversation_id``.
    """
    yield
    rows = await inside.rows(
        "select conversation_id from conversations where starts_with(conversation_id, $1)",
        conversation_id,
    )
    ids = [row["conversation_id"] for row in rows]
    history = await History.when_over(stack_postgres.url, stubs, ids)
    history.check({}, is_undisturbed=False)


@pytest.fixture
def conversation_id() -> str:
    """Return an id that no other test uses."""
    return f"conv_{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return a database server of a file's own."""
    server = start_postgres(tmp_path_factory.mktemp("own-postgres"))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis of a file's own."""
    server = start_redis(tmp_path_factory.mktemp("own-redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def way_to_postgres(postgres: PostgresServer) -> Iterator[Proxy]:
    """Return a way to ``postgres`` that can be broken."""
    proxy = proxy_to_postgres(postgres)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def way_to_redis(redis: RedisServer) -> Iterator[Proxy]:
    """Return a way to ``redis`` that can be broken."""
    proxy = proxy_to_redis(redis)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def all_points(tmp_path_factory: pytest.TempPathFactory) -> FaultPoints:
    """Return the points of a file's own processes; ``points`` is for its tests."""
    return FaultPoints(tmp_path_factory.mktemp("points"))


@pytest.fixture
def points(all_points: FaultPoints) -> Iterator[FaultPoints]:
    """Return the points at which processes can be struck; nobody is left standing at one."""
    yield all_points
    all_points.disarm_all()


@pytest.fixture(scope="module")
def own_settings() -> dict[str, str]:
    """Return what ``victim`` is told beyond ``settings_of``; a file says so with its own."""
    return {}


@pytest.fixture(scope="module")
def victim(
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    own_settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Return a stack of a file's own, with a database and a Redis that survive it."""
    settings = settings_of(stubs, postgres, redis) | own_settings
    running = Server(tmp_path_factory.mktemp("victim"), **settings).start()
    install_audit(postgres.url)
    yield running
    running.close()


@pytest.fixture
async def traffic(victim: Server) -> AsyncIterator[Traffic]:
    """Return clients of ``victim``."""
    async with open_traffic(victim.url, concurrency=200) as opened:
        yield opened
