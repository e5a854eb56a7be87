"""Channels against a real server: who hears what is published, and what follows if it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage.redis_channels import MAX_PUBLISHED_BYTES, RETRY_SECONDS, ChannelListener, Channels
from storage.redis_client import RedisClient
from storage.settings import Settings, load_settings
from storage.tasks import end_task
from tests.servers import RedisServer, start_redis


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(redis_server.url)
    yield client
    await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (nothing tells when a background task has got there)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(
    settings: Settings, channel: str, receive: Callable[[bytes], None]
) -> AsyncIterator[ChannelListener]:
    listener = ChannelListener(settings, channel, receive)
    task = asyncio.create_task(listener.run())
    try:
        await until(lambda: listener.is_listening)
        yield listener
    finally:
        await end_task(task)


async def test_the_listener_of_a_channel_hears_it_in_order_and_no_other(
    redis_server: RedisServer, client: RedisClient
) -> None:
    settings = load_settings(redis_url=redis_server.url)
    heard: list[bytes] = []
    async with listening(settings, "cluster:b:host-0#1", heard.append):
        channels = Channels(client, is_cluster=False)
        texts = [("cluster:b:host-0#1", b"%d" % number) for number in range(300)]
        assert await channels.publish([("cluster:b:host-0#2", b"not mine"), *texts])
        await until(lambda: len(heard) >= len(texts))

    assert heard == [text for _, text in texts]


async def test_it_is_known_whether_anybody_listens(
    redis_server: RedisServer, client: RedisClient
) -> None:
    channels = Channels(client, is_cluster=False)
    async with listening(load_settings(redis_url=redis_server.url), "here", lambda _: None):
        assert await channels.have_listeners(["gone", "here"]) == [False, True]
    async with asyncio.timeout(20):
        while (await channels.have_listeners(["here"]))[0]:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.01)


async def test_a_text_that_cannot_be_read_does_not_end_the_listening(
    redis_server: RedisServer, client: RedisClient
) -> None:
    heard: list[bytes] = []

    def receive(text: bytes) -> None:
        if text == b"garbled":
            raise ValueError("cannot be read")
        heard.append(text)

    async with listening(load_settings(redis_url=redis_server.url), "here", receive):
        await Channels(client, is_cluster=False).publish([("here", b"garbled"), ("here", b"fine")])
        await until(lambda: bool(heard))

    assert heard == [b"fine"]


async def test_a_text_that_is_too_long_is_neither_published_nor_taken(
    redis_server: RedisServer, client: RedisClient
) -> None:
    heard: list[bytes] = []
    too_long = b"x" * (MAX_PUBLISHED_BYTES + 1)
    async with listening(load_settings(redis_url=redis_server.url), "here", heard.append):
        assert not await Channels(client, is_cluster=False).publish([("here", too_long)])
        await client.run([("PUBLISH", "here", too_long), ("PUBLISH", "here", b"short")])
        await until(lambda: bool(heard))

    assert heard == [b"short"]


async def test_the_listener_comes_back_with_redis(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    heard: list[bytes] = []
    client = RedisClient(server.url)
    channels = Channels(client, is_cluster=False)
    async with listening(load_settings(redis_url=server.url), "here", heard.append) as listener:
        server.kill()
        await until(lambda: not listener.is_listening)
        assert not await channels.publish([("here", b"nobody hears this")])
        assert await channels.have_listeners(["here"]) == [False]
        server.start()
        await until(lambda: listener.is_listening)
        await client.wait_until_connected()
        assert await channels.publish([("here", b"back")])
        await until(lambda: bool(heard))

    assert heard == [b"back"]
    await client.close()
    server.stop()


@pytest.fixture
def cluster_of_one(tmp_path: Path) -> Iterator[RedisServer]:
    server = start_redis(tmp_path, extra="cluster-enabled yes")
    yield server
    server.stop()


# redis-py leaves its connections to a node that died to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_channels_work_on_a_redis_cluster(cluster_of_one: RedisServer) -> None:
    server = cluster_of_one
    plain = RedisClient(server.url)
    await plain.run([("CLUSTER", "ADDSLOTSRANGE", 0, 16383)])
    async with asyncio.timeout(20):
        while (await plain.run([("SET", "ready", 1)])) is None:
            await plain.wait_until_connected()
    await plain.close()
    settings = load_settings(redis_url=server.url, redis_cluster=True)
    client = RedisClient.from_settings(settings)
    assert client is not None
    heard: list[bytes] = []
    async with listening(settings, "here", heard.append) as listener:
        channels = Channels(client, is_cluster=True)
        assert await channels.publish([("elsewhere", b"-"), ("here", b"1"), ("here", b"2")])
        assert await channels.have_listeners(["here", "elsewhere"]) == [True, True]
        await until(lambda: len(heard) == 2)
        server.kill()
        await until(lambda: not listener.is_listening)
        await asyncio.sleep(3 * RETRY_SECONDS)  # in vain
        server.start()
        await until(lambda: listener.is_listening)
    await client.close()
