"""A database for each test, cloned from a migrated template, and a Redis for each file."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from storage.migrate import upgrade_to_head
from storage.postgres import Database, migration_connection
from storage.writer import StorageWriter
from tests.servers import RedisServer, start_postgres, start_redis
from tests.storage.client import Client

TEMPLATE = "template_for_tests"


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_postgres(tmp_path_factory.mktemp("storage"))
    yield server.url
    server.remove()


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    asyncio.run(run(postgres_url, f"create database {TEMPLATE}"))
    upgrade_to_head(with_database(postgres_url, TEMPLATE))
    return TEMPLATE


async def run(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    connection = await migration_connection(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def database_url(postgres_url: str, template: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await run(postgres_url, f"create database {name} template {template}")
    yield with_database(postgres_url, name)
    await run(postgres_url, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url, max_connections=10)
    yield database
    await database.close()


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[StorageWriter]:
    writer = StorageWriter(database_url)
    yield writer
    await writer.close()


@pytest.fixture
def client(writer: StorageWriter) -> Client:
    return Client(writer)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
