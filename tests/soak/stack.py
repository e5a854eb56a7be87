"""Two clusters of the product over one PostgreSQL and one Redis, each behind proxies of its own."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers import PostgresServer, RedisServer
from tests.stack.conftest import settings_of
from tests.stack.history import install_audit
from tests.stack.processes import process_tree
from tests.stack.proxy import Proxy, proxy_to_postgres, proxy_to_redis
from tests.stack.server import Server
from tests.stack.stubs import Stubs

__all__ = ["Cluster", "SoakStack"]

CLUSTER_NAMES = ("north", "south")
HOSTS = "2"
_ACTOR = re.compile(r"ray::(ConversationHost|StorageWriter|Supervisor|ingress)")


@dataclass
class Cluster:
    """One start of the product, and its ways to the servers."""

    name: str
    server: Server
    postgres: Proxy
    redis: Proxy


class SoakStack:
    """Everything that a soak runs on."""

    def __init__(self, directory: Path, clusters: int) -> None:
        self._directory = directory
        self.stubs = Stubs(delay_seconds=0.3)
        self.postgres = PostgresServer(directory)
        self.redis = RedisServer(directory)
        self.clusters: list[Cluster] = []
        self._names = CLUSTER_NAMES[:clusters]

    def start(self) -> None:
        """Start the servers, then one cluster after the other."""
        self.stubs.start()
        self.postgres.start()
        self.redis.start()
        for name in self._names:
            postgres, redis = proxy_to_postgres(self.postgres), proxy_to_redis(self.redis)
            settings = settings_of(self.stubs, self.postgres, self.redis) | {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "CLUSTER_NAME": name,
                "CONVERSATION_HOSTS": HOSTS,
                # What a soak refuses with a status is looked at, not given up.
                "DELIVERY_MAX_ATTEMPTS": "100",
            }
            folder = self._directory / name
            folder.mkdir()
            cluster = Cluster(name, Server(folder, **settings), postgres, redis)
            self.clusters.append(cluster)
            cluster.server.start()
        install_audit(self.postgres.url)

    def stop(self) -> None:
        """Stop all of it; a cluster that does not stop as it should raises at the end."""
        failed: list[Exception] = []
        for cluster in self.clusters:
            try:
                cluster.server.close()
            except (AssertionError, OSError) as error:
                failed.append(error)
            cluster.postgres.stop()
            cluster.redis.stop()
        self.redis.stop()
        self.postgres.remove()
        self.stubs.stop()
        if failed:
            raise ExceptionGroup("not all clusters stopped as they should", failed)

    def memory_mib(self) -> dict[str, float]:
        """Return the memory of the largest of the product's processes, by kind, in MiB."""
        found: defaultdict[str, float] = defaultdict(float)
        for cluster in self.clusters:
            ingress = cluster.server.process
            for process in process_tree(cluster.server):
                try:
                    title = process.cmdline()[0]
                    mib = process.memory_info().rss / 2**20
                except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
                    continue
                if ingress is not None and process.pid == ingress.pid:
                    title = "ray::ingress"
                kind = _ACTOR.match(title)
                if kind:
                    found[kind[1]] = max(found[kind[1]], mib)
        return dict(found)
