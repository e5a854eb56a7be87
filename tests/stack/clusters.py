"""Two clusters on this machine: two Ray clusters over one PostgreSQL and one Redis."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from tests.servers import PostgresServer, RedisServer, start_postgres, start_redis
from tests.stack.ask import enhanced, message
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.inside import Inside
from tests.stack.processes import process_tree
from tests.stack.proxy import Proxy, proxy_to_redis
from tests.stack.server import Server
from tests.stack.stubs import Stubs

__all__ = ["Clusters", "answered_by", "kill_cluster", "new_ids", "open_clusters"]


@dataclass(frozen=True)
class Clusters:
    """Both, and what they share; ``a`` reaches Redis through a proxy."""

    a: Server
    b: Server
    postgres: PostgresServer
    redis: RedisServer
    redis_of_a: Proxy


@contextmanager
def open_clusters(stubs: Stubs, factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Start both, one after the other, with one host each: that is enough for two cores."""
    with ExitStack() as stack:
        postgres = start_postgres(factory.mktemp("clusters-postgres"))
        stack.callback(postgres.remove)
        redis = start_redis(factory.mktemp("clusters-redis"))
        stack.callback(redis.stop)
        proxy = proxy_to_redis(redis)
        stack.callback(proxy.stop)
        settings = settings_of(stubs, postgres, redis) | {"CONVERSATION_HOSTS": "1"}
        own: tuple[dict[str, str], ...] = (
            {"CLUSTER_NAME": "a", "REDIS_URL": proxy.url},
            {"CLUSTER_NAME": "b"},
        )
        servers = []
        for its in own:
            server = Server(factory.mktemp(its["CLUSTER_NAME"]), **settings | its).start()
            stack.callback(_close, server)
            servers.append(server)
        install_audit(postgres.url)
        yield Clusters(servers[0], servers[1], postgres, redis, proxy)


def _close(server: Server) -> None:
    assert server.process is not None
    if server.process.poll() is None:
        server.close()
    else:  # a test has killed it
        shutil.rmtree(server.data_dir)


def kill_cluster(server: Server) -> None:
    """End all processes of a cluster at once."""
    for process in process_tree(server):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert server.process is not None
    server.process.wait()


def new_ids(name: str, count: int) -> list[str]:
    """Return ids that no other test uses."""
    run = uuid.uuid4().hex[:8]
    return [f"{name}_{run}_{number}" for number in range(count)]


async def answered_by(
    client: httpx.AsyncClient, inside: Inside, conversation_id: str, cluster: str, **fields: Any
) -> dict[str, str]:
    """Have a cluster answer a conversation's first message; return the lease that it holds then.

    It keeps that lease for as long as it has the conversation in memory.
    """
    answer = await enhanced(client, message(conversation_id, "hello", **fields))
    assert answer["result"]["status"] == "completed"
    lease = await inside.lease(conversation_id)
    assert lease is not None
    assert lease["cluster"] == cluster
    assert lease["lock_id"] == answer["result"]["lock_id"]
    return lease
