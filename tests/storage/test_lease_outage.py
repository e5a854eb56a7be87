"""The lease while Redis is dead, silent, back empty, or full."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import structlog

from storage.redis_client import RedisClient
from storage.redis_lease import (
    HeldLease,
    LeaseOutcome,
    LeaseRequest,
    MessageLockManager,
    RenewalOutcome,
)
from tests.servers import RedisServer, start_redis

DEADLINE_SECONDS = 0.5


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = start_redis(tmp_path)
    yield server
    server.kill()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[RedisClient, MessageLockManager]]:
    client = RedisClient(url, max_connections=10, socket_timeout_seconds=DEADLINE_SECONDS)
    try:
        yield (
            client,
            MessageLockManager(client, owner="o", cluster="k", ttl_seconds=6 * DEADLINE_SECONDS),
        )
    finally:
        await client.close()


@contextmanager
def silenced(server: RedisServer) -> Iterator[None]:
    """Keep the server from saying anything, its connections open."""
    process_id = server.pid
    assert process_id is not None
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


async def until_connected(client: RedisClient) -> None:
    async with asyncio.timeout(10):
        await client.wait_until_connected()
    assert client.is_connected


async def test_a_dead_server_is_unknown_and_one_back_empty_serves_again(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as (client, locks):
        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.GRANTED
        redis_server.kill()
        assert (await locks.acquire([LeaseRequest("d", "l")]))[0].outcome is LeaseOutcome.UNKNOWN
        assert await locks.renew([HeldLease("c", "l")]) == [RenewalOutcome.UNKNOWN]
        assert await locks.release([HeldLease("c", "l")]) == [RenewalOutcome.UNKNOWN]
        assert await locks.force_release("c") is False
        assert await locks.inspect(["c"]) == [None]
        assert not client.is_connected

        redis_server.start()
        await until_connected(client)
        assert await locks.renew([HeldLease("c", "l")]) == [RenewalOutcome.LOST]
        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.GRANTED


async def test_a_silent_server_costs_one_deadline_and_then_nothing(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as (client, locks):
        await locks.acquire([LeaseRequest("c", "l")])
        with silenced(redis_server):
            began = time.monotonic()
            (first,) = await locks.acquire([LeaseRequest("d", "l")])
            first_took = time.monotonic() - began
            began = time.monotonic()
            later = await asyncio.gather(
                *(locks.acquire([LeaseRequest(f"e{n}", "l")]) for n in range(200))
            )
            later_took = time.monotonic() - began

        assert first.outcome is LeaseOutcome.UNKNOWN
        assert DEADLINE_SECONDS * 0.9 < first_took < DEADLINE_SECONDS * 3
        assert {answer.outcome for (answer,) in later} == {LeaseOutcome.UNKNOWN}
        assert later_took < DEADLINE_SECONDS
        await until_connected(client)
        assert (await locks.acquire([LeaseRequest("f", "l")]))[0].outcome is LeaseOutcome.GRANTED


async def test_calls_under_way_when_it_falls_silent_all_end_within_the_deadline(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as (client, locks):
        await locks.acquire([LeaseRequest("c", "l")])
        with silenced(redis_server):
            began = time.monotonic()
            answers = await asyncio.gather(
                *(locks.acquire([LeaseRequest(f"d{n}", "l")]) for n in range(50))
            )
            took = time.monotonic() - began

        assert {answer.outcome for (answer,) in answers} == {LeaseOutcome.UNKNOWN}
        assert took < DEADLINE_SECONDS * 3
        await until_connected(client)


async def test_an_unknown_acquire_that_was_done_is_granted_when_it_is_tried_again(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as (client, locks):
        await locks.acquire([LeaseRequest("warm", "l")])
        with silenced(redis_server):
            (answer,) = await locks.acquire([LeaseRequest("c", "l")])
        assert answer.outcome is LeaseOutcome.UNKNOWN
        await until_connected(client)

        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.GRANTED


async def test_an_outage_is_logged_once(redis_server: RedisServer) -> None:
    redis_server.kill()
    with structlog.testing.capture_logs() as logs:
        async with opened(redis_server.url) as (client, locks):
            for _ in range(20):
                await locks.acquire([LeaseRequest("c", "l")])
            redis_server.start()
            await until_connected(client)

    assert [entry["event"] for entry in logs] == [
        "Redis connection failed, using fallback",
        "Redis connection restored",
    ]
    assert redis_server.url not in str(logs)


async def test_scripts_forgotten_by_the_server_are_sent_again(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as (client, locks):
        await locks.acquire([LeaseRequest("c", "l")])
        await client.run([("SCRIPT", "FLUSH")])

        assert await locks.renew([HeldLease("c", "l")] * 3) == [RenewalOutcome.RENEWED] * 3


async def test_a_full_server_refuses_and_stays_connected(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as (client, locks):
        await client.run([("CONFIG", "SET", "maxmemory", "1")])

        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.UNKNOWN
        assert client.is_connected


async def test_a_wrong_password_is_an_outage(redis_server: RedisServer) -> None:
    url = f"redis://:wrong@127.0.0.1:{redis_server.port}/0"
    async with opened(url) as (client, locks):
        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.UNKNOWN
        assert not client.is_connected


async def test_a_closed_client_answers_unknown(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as (client, locks):
        await client.close()

        assert (await locks.acquire([LeaseRequest("c", "l")]))[0].outcome is LeaseOutcome.UNKNOWN
