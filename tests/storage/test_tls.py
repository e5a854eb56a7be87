"""Redis and PostgreSQL over TLS: what is trusted is spoken to, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import trustme

from storage.migrate import migrate
from storage.postgres import Database, DatabaseUnavailable
from storage.redis_channels import Channels
from storage.redis_client import RedisClient
from storage.redis_lease import LeaseOutcome, LeaseRequest
from storage.redis_store import RedisStore
from storage.settings import Settings, load_settings
from tests.servers import RedisServer
from tests.storage.test_channels import listening, until
from tests.storage.tls_front import Dial, tls_front


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return quote(str(path), safe="/")


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    path = tmp_path / "another-authority.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return quote(str(path), safe="/")


def certificate(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def to_redis(server: RedisServer) -> Dial:
    return lambda: asyncio.open_connection("127.0.0.1", server.port)


def to_postgres(url: str) -> Dial:
    (folder,) = parse_qs(urlsplit(url).query)["host"]
    return lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")


def redis_settings(server: RedisServer, port: int, query: str) -> Settings:
    password = urlsplit(server.url).password
    return load_settings(redis_url=f"rediss://127.0.0.1:{port}/0{query}", redis_password=password)


async def lease_outcome(settings: Settings) -> LeaseOutcome:
    store = RedisStore.open(settings, "host-1")
    assert store is not None
    ((answer, _),) = await store.activate([LeaseRequest("tls", "l")])
    await store.close()
    return answer.outcome


async def test_leases_and_channels_work_over_tls(
    redis_server: RedisServer, authority: trustme.CA, trusted: str
) -> None:
    heard: list[bytes] = []
    async with tls_front(to_redis(redis_server), certificate(authority, "127.0.0.1")) as front:
        settings = redis_settings(redis_server, front.port, f"?ssl_ca_certs={trusted}")
        assert await lease_outcome(settings) is LeaseOutcome.GRANTED
        client = RedisClient.from_settings(settings)
        assert client is not None
        async with listening(settings, "here", heard.append):
            assert await Channels(client, is_cluster=False).publish([("here", b"hello")])
            await until(lambda: heard == [b"hello"])
        await client.close()
        assert front.encrypted >= 3


@pytest.mark.parametrize("case", ["system", "foreign", "name"])
async def test_a_redis_that_is_not_trusted_is_not_spoken_to(
    redis_server: RedisServer, authority: trustme.CA, trusted: str, foreign: str, case: str
) -> None:
    name = "redis.example" if case == "name" else "127.0.0.1"
    query = {"system": "", "foreign": f"?ssl_ca_certs={foreign}"}.get(
        case, f"?ssl_ca_certs={trusted}"
    )
    async with tls_front(to_redis(redis_server), certificate(authority, name)) as front:
        settings = redis_settings(redis_server, front.port, query)
        assert await lease_outcome(settings) is LeaseOutcome.UNKNOWN


def postgres_address(url: str, port: int, query: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}?{query}"


async def answer_of(address: str) -> int:
    database = await Database.connect(address, max_connections=1)
    try:
        row = await database.fetch_one("select 1 as one")
    finally:
        await database.close()
    assert row is not None
    return int(row["one"])


async def test_the_database_is_migrated_and_read_over_tls(
    postgres_url: str, authority: trustme.CA, trusted: str
) -> None:
    context = certificate(authority, "127.0.0.1")
    async with tls_front(to_postgres(postgres_url), context, is_postgres=True) as front:
        given = postgres_address(postgres_url, front.port, f"sslrootcert={trusted}")
        settings = load_settings(database_url=given, postgres_sslmode="verify-full")
        assert settings.postgres_dsn is not None
        await migrate(settings.postgres_dsn)
        assert await answer_of(settings.postgres_dsn) == 1
        assert front.encrypted >= 2
        assert front.clear == 0


async def test_tls_can_be_asked_for_by_the_parts(postgres_url: str, authority: trustme.CA) -> None:
    context = certificate(authority, "127.0.0.1")
    async with tls_front(to_postgres(postgres_url), context, is_postgres=True) as front:
        settings = load_settings(
            postgres_host="127.0.0.1",
            postgres_port=front.port,
            postgres_db=urlsplit(postgres_url).path.removeprefix("/"),
            postgres_sslmode="require",
        )
        assert settings.postgres_dsn is not None
        assert await answer_of(settings.postgres_dsn) == 1
        assert (front.encrypted, front.clear) == (1, 0)


@pytest.mark.parametrize("case", ["foreign", "name", "no tls"])
async def test_a_database_that_is_not_trusted_is_not_spoken_to(
    postgres_url: str, authority: trustme.CA, trusted: str, foreign: str, case: str
) -> None:
    name = "db.example" if case == "name" else "127.0.0.1"
    context = None if case == "no tls" else certificate(authority, name)
    roots = foreign if case == "foreign" else trusted
    async with tls_front(to_postgres(postgres_url), context, is_postgres=True) as front:
        query = f"sslmode=verify-full&sslrootcert={roots}"
        with pytest.raises(DatabaseUnavailable):
            await answer_of(postgres_address(postgres_url, front.port, query))
