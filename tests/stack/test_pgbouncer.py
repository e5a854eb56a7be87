"""PgBouncer between the product and PostgreSQL, as docs/DEPLOYING.md sets it up."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.embedded_programs import postgres_identity
from storage.migrate import migrate
from storage.postgres import Database
from tests.guides import blocks
from tests.servers import PostgresServer, RedisServer
from tests.stack.ask import message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.server import Server, free_port
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, open_traffic

pytestmark = [pytest.mark.timeout(300), pytest.mark.soak]

PROGRAM = Path("/usr/sbin/pgbouncer")
ROLE = "chat"
START_SECONDS = STOP_SECONDS = 30.0


def documented(kind: str) -> str:
    (text,) = [it for _, of, it in blocks("docs/DEPLOYING.md", "PgBouncer") if of == kind]
    return text


async def prepare(postgres: PostgresServer) -> None:
    await migrate(postgres.url)
    database = await Database.connect(postgres.url, max_connections=1)
    try:
        await database.fetch(f"CREATE ROLE {ROLE} SUPERUSER LOGIN")
        for statement in documented("sql").splitlines():
            await database.fetch(statement)
    finally:
        await database.close()


def address_of(postgres: PostgresServer) -> tuple[str, str]:
    """Return a database's name, and the folder of the socket that its server listens on."""
    parts = urlsplit(postgres.url)
    return parts.path.removeprefix("/"), parse_qs(parts.query)["host"][0]


def wait_until_open(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def pooled_url(postgres: PostgresServer) -> Iterator[str]:
    """Start PgBouncer; return the database's address there."""
    if not PROGRAM.exists():
        pytest.skip("no pgbouncer here (Debian: apt-get install pgbouncer)")
    asyncio.run(prepare(postgres))
    name, socket_folder = address_of(postgres)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{name} = host={socket_folder} user={ROLE}\n"
        "[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\nauth_type = any\n"
        f"listen_port = {port}\nlogfile = {folder / 'log'}\n{documented('ini')}"
    )
    identity = postgres_identity()
    if identity is not None:  # it refuses to be root
        for path in (folder, configuration):
            shutil.chown(path, identity.user_id, identity.group_id)
    started = subprocess.Popen(
        [PROGRAM, configuration],
        user=identity.user_id if identity else None,
        group=identity.group_id if identity else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until_open(port)
    yield f"postgresql://{ROLE}@127.0.0.1:{port}/{name}"
    started.terminate()
    started.wait(STOP_SECONDS)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(
    pooled_url: str,
    stubs: Stubs,
    postgres: PostgresServer,
    redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    settings = {**settings_of(stubs, postgres, redis), "DATABASE_URL": pooled_url}
    running = Server(tmp_path_factory.mktemp("pooled"), **settings).start()
    install_audit(postgres.url)
    yield running
    running.close()


async def test_the_timeouts_of_the_role_hold(pooled_url: str) -> None:
    database = await Database.connect(pooled_url, max_connections=1)
    try:
        (row,) = await database.fetch(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('jit')"
        )
    finally:
        await database.close()
    assert tuple(row) == ("10s", "2s", "off")


async def test_every_message_is_answered_once_through_it(
    server: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "pooled")
    async with open_traffic(server.url, concurrency=200) as traffic:
        for _ in range(3):
            await traffic.send_all([message(it, "through the pool") for it in ids])
        await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)
        assert not traffic.refusals
        assert not traffic.broken
        assert "processing" not in traffic.statuses()
