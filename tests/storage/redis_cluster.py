"""A real Redis Cluster: three servers that share the slots and know each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

from storage.processes import free_port
from storage.redis_client import RedisClient
from tests.servers import RedisServer

__all__ = ["redis_cluster"]

SLOTS = 16384
READY_SECONDS = 60


@asynccontextmanager
async def redis_cluster(directory: Path, nodes: int = 3) -> AsyncIterator[list[RedisServer]]:
    """Start so many servers, give each its part of the slots, and wait until all know of all."""
    servers: list[RedisServer] = []
    try:
        for number in range(nodes):
            servers.append(_node(directory / str(number), servers))
            await asyncio.to_thread(servers[-1].start)
        await _introduce(servers)
        yield servers
    finally:
        for server in servers:
            server.kill()


def _node(directory: Path, others: list[RedisServer]) -> RedisServer:
    lines = [
        "cluster-enabled yes",
        f"cluster-port {free_port()}",  # by itself it is the port + 10000, which there may not be
        "cluster-node-timeout 2000",
        "cluster-require-full-coverage no",
    ]
    server = RedisServer(directory, extra="\n".join(lines))
    if others:  # a client brings one password for all
        server._password = others[0]._password
    return server


async def _introduce(servers: list[RedisServer]) -> None:
    clients = [RedisClient(server.url) for server in servers]
    try:
        bounds = [SLOTS * number // len(servers) for number in range(len(servers) + 1)]
        for client, (first, end) in zip(clients, pairwise(bounds), strict=True):
            assert await client.run([("CLUSTER", "ADDSLOTSRANGE", first, end - 1)]) == [b"OK"]
        for server in servers[1:]:
            bus_port = int(server._extra.split("cluster-port ")[1].split()[0])
            meet = ("CLUSTER", "MEET", "127.0.0.1", server.port, bus_port)
            assert await clients[0].run([meet]) == [b"OK"]
        async with asyncio.timeout(READY_SECONDS):
            for client in clients:
                while not await _knows_all(client, len(servers)):  # noqa: ASYNC110 (nothing tells)
                    await asyncio.sleep(0.1)
    finally:
        for client in clients:
            await client.close()


async def _knows_all(client: RedisClient, nodes: int) -> bool:
    (info,) = await client.run([("CLUSTER", "INFO")]) or [b""]
    text = info if isinstance(info, bytes) else str(info).encode()
    wanted = (b"cluster_state:ok", f"cluster_slots_ok:{SLOTS}".encode(), b"cluster_size:%d" % nodes)
    return all(it in text for it in wanted)
