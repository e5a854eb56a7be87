"""All of Ray that the actors need: starting or joining a cluster, and calls between actors.

Call ``prepare_ray_environment`` before this is imported: Ray reads its environment at import.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import ray
import structlog
from ray.exceptions import RayError, RayTaskError

from actors.gateway import Gateway
from actors.host import ConversationHost
from actors.ports import HostPort, PeerUnavailable, SupervisorPort, WriterPort
from actors.supervisor import Supervisor, actor_names
from storage.remote import actor_class, storage_writer_class
from storage.settings import Settings

__all__ = ["deploy", "join_cluster", "leave_cluster", "open_gateway", "start_cluster", "stop"]

log = structlog.get_logger()

NAMESPACE = "chat-orchestrator"
SUPERVISOR = "supervisor"
MAX_CONCURRENT_CALLS = 1_000
STOP_SECONDS = 10.0

_ACTOR_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,
    "lifetime": "detached",
    "namespace": NAMESPACE,
    "get_if_exists": True,
    "max_restarts": -1,
    "max_task_retries": 0,
    "max_concurrency": MAX_CONCURRENT_CALLS,
}


class _Peer:
    """Another actor, found by its name when it is first called, and again after a failure."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: Any = None

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method. Raises ``PeerUnavailable``."""
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(ray.get_actor, self._name, NAMESPACE)
            return await getattr(self._handle, method).remote(*arguments)
        except RayTaskError as error:
            log.exception("call_failed", actor=self._name, method=method)
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error
        except (RayError, ValueError, ConnectionError) as error:
            self._handle = None
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error


class _RemoteHost(_Peer):
    async def receive(self, envelopes: bytes) -> None:
        await self.call("receive", envelopes)

    async def next_outcomes(self, ingress_id: str) -> bytes:
        return cast("bytes", await self.call("next_outcomes", ingress_id))

    async def ping(self, table: bytes | None) -> bytes:
        return cast("bytes", await self.call("ping", table))

    async def drain(self, timeout_seconds: float) -> None:
        await self.call("drain", timeout_seconds)

    async def deliveries(self) -> list[dict[str, object]]:
        return cast("list[dict[str, object]]", await self.call("deliveries"))


class _RemoteWriter(_Peer):
    async def execute(self, batch: bytes) -> bytes:
        return cast("bytes", await self.call("execute", batch))

    async def ping(self) -> bool:
        return bool(await self.call("ping"))


class _RemoteSupervisor(_Peer):
    async def watch(self, version: int) -> bytes:
        return cast("bytes", await self.call("watch", version))


class RayDirectory:
    """Finds actors by their names in Ray."""

    def __init__(self) -> None:
        self._hosts: dict[str, _RemoteHost] = {}
        self._writers: dict[str, _RemoteWriter] = {}
        self._supervisor = _RemoteSupervisor(SUPERVISOR)

    def host(self, name: str) -> HostPort:
        """Return a host."""
        return self._hosts.setdefault(name, _RemoteHost(name))

    def writer(self, name: str) -> WriterPort:
        """Return a writer."""
        return self._writers.setdefault(name, _RemoteWriter(name))

    def supervisor(self) -> SupervisorPort:
        """Return the supervisor."""
        return self._supervisor


class RayActorFactory:
    """Makes the actors that the supervisor looks after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def make_host(self, name: str) -> None:
        """Make a ``ConversationHost``, or find it."""
        level = self._settings.effective_log_level
        actor = actor_class(ConversationHost, level, name=name, **_ACTOR_OPTIONS)
        actor.remote(name, self._settings, RayDirectory())

    def make_writer(self, name: str) -> None:
        """Make a ``StorageWriter``, or find it."""
        level = self._settings.effective_log_level
        writer = storage_writer_class(level, name=name, **_ACTOR_OPTIONS)
        writer.remote(self._settings.postgres_dsn)


def start_cluster(settings: Settings, directory: Path) -> str:
    """Start Ray on this machine, with its files under ``directory``; return its address.

    Raises ``ConnectionError``.
    """
    context = _connect(
        settings,
        address="local",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        _temp_dir=str(directory),
    )
    return str(context.address_info["address"])


def join_cluster(settings: Settings) -> None:
    """Connect to the Ray cluster at ``RAY_ADDRESS``. Raises ``ConnectionError``."""
    _connect(settings, address=settings.ray_address or "auto")


def _connect(settings: Settings, **options: Any) -> Any:
    with _signal_handlers_kept():
        try:
            return ray.init(
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.getLevelNamesMapping()[settings.log_level],
                **options,
            )
        except Exception as error:  # Ray says with a bare Exception that it did not come up in time
            raise ConnectionError(str(error)) from error


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Give SIGTERM back to its owner: Ray would end the process in the middle of requests."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def leave_cluster() -> None:
    """Disconnect; what this process started of Ray ends."""
    ray.shutdown()


async def deploy(settings: Settings) -> None:
    """Make the supervisor (or find it), which makes all others."""
    level = settings.effective_log_level
    actor = actor_class(Supervisor, level, name=SUPERVISOR, **_ACTOR_OPTIONS)
    actor.remote(settings, RayDirectory(), RayActorFactory(settings))


async def open_gateway(settings: Settings) -> Gateway:
    """Connect an ingress to the cluster's actors. Raises ``TimeoutError`` if they do not serve."""
    gateway = Gateway(RayDirectory(), settings)
    await gateway.start()
    return gateway


async def stop(settings: Settings) -> None:
    """Let the hosts finish their turns, then end all actors of the cluster."""
    hosts, writers = actor_names(settings)
    _end(SUPERVISOR)
    await asyncio.gather(*(_drain(name) for name in hosts))
    for name in (*hosts, *writers):
        _end(name)


async def _drain(name: str) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS + 1):
            await _RemoteHost(name).drain(STOP_SECONDS)
    except (PeerUnavailable, TimeoutError):
        return  # what it leaves is done by the next start


def _end(name: str) -> None:
    try:
        ray.kill(ray.get_actor(name, NAMESPACE))
    except ValueError:
        return  # it was not there
