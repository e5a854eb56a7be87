"""Ray for the actors' side: starting or joining a cluster, and the actors that all of it has.

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
from typing import Any

import ray
import structlog
from ray.util import list_named_actors

from actors.gateway import Gateway
from actors.ports import PeerUnavailable
from actors.remote_actors import (
    ACTOR_OPTIONS,
    INGRESS_PREFIX,
    RayActorFactory,
    end_actor,
    end_ingress,
)
from actors.remote_directory import NAMESPACE, SUPERVISOR, RayDirectory, directory_of
from actors.supervisor import Supervisor
from actors.threads import in_thread
from storage.remote import RayExporter, actor_class
from storage.settings import Settings

__all__ = ["deploy", "join_cluster", "leave_cluster", "open_gateway", "start_cluster", "stop"]

log = structlog.get_logger()

STOP_SECONDS = 10.0


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


async def deploy(settings: Settings, ingress_class: type[Any]) -> None:
    """Make the supervisor (or find it), which makes all others.

    ``ingress_class`` is that of the HTTP servers on every machine, if the settings want them:
    called with a name, the settings and an address to listen on, it serves until ``stop``.
    """
    level = settings.effective_log_level
    actor = actor_class(Supervisor, level, name=SUPERVISOR, **ACTOR_OPTIONS)
    factory = RayActorFactory(settings, ingress_class)
    actor.remote(settings.without_access(), directory_of(settings), factory)


async def open_gateway(settings: Settings) -> Gateway:
    """Connect an ingress to the cluster's actors. Raises ``TimeoutError`` if they do not serve."""
    gateway = Gateway(directory_of(settings), settings)
    await gateway.start()
    gateway.watch_process(RayExporter(gateway.name))
    log.info("ingress_joined", ingress=repr(gateway))
    return gateway


async def stop(settings: Settings) -> None:
    """Let the hosts finish their turns, then end all actors of the cluster."""
    names = await in_thread(list_named_actors)
    end_actor(SUPERVISOR)
    await asyncio.gather(
        *(_drain(name) for name in names if name.startswith("host-")),
        *(end_ingress(name) for name in names if name.startswith(INGRESS_PREFIX)),
    )
    for name in names:
        end_actor(name)


async def _drain(name: str) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS + 1):
            await RayDirectory(has_direct_calls=False).host(name).drain(STOP_SECONDS)
    except (PeerUnavailable, TimeoutError):
        return  # what it leaves is done by the next start
