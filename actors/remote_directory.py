"""The way to actors by their names: over connections of their own, or by Ray."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import ray
import structlog
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from actors.call_connection import CallFailed
from actors.direct_calls import DirectCalls
from actors.peers import RemoteHost, RemoteSupervisor, RemoteWriter
from actors.ports import HostPort, PeerUnavailable, SupervisorPort, WriterPort
from actors.ray_environment import ray_encrypts
from actors.threads import in_thread
from storage.calls import CallAddress
from storage.metrics import PEER_CALLS
from storage.settings import Settings

__all__ = ["NAMESPACE", "SUPERVISOR", "RayActor", "RayDirectory", "directory_of"]

log = structlog.get_logger()

NAMESPACE = "chat-orchestrator"
SUPERVISOR = "supervisor"
LOOKUP_SECONDS = 2.0


class RayActor:
    """An actor, found by its name when it is first called, and again when it has died."""

    def __init__(self, name: str, *, has_direct_calls: bool) -> None:
        self._name = name
        self._lookup: asyncio.Future[Any] | None = None
        self._direct = DirectCalls(name, self._address) if has_direct_calls else None

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method. Raises ``PeerUnavailable``."""
        connection = self._direct.connection() if self._direct is not None else None
        PEER_CALLS.add("ray" if connection is None else "direct")
        if connection is None:
            return await self._call_by_ray(method, *arguments)
        try:
            return await connection.call(method, *arguments)
        except (CallFailed, ConnectionError) as error:
            raise PeerUnavailable(f"{self._name}: {error}") from error

    def close(self) -> None:
        """Let go of its connection."""
        if self._direct is not None:
            self._direct.close()

    async def _call_by_ray(self, method: str, *arguments: object) -> Any:
        try:
            handle = await self._found()
            return await getattr(handle, method).remote(*arguments)
        except RayTaskError as error:
            log.exception("call_failed", actor=self._name, method=method)
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error
        except ActorUnavailableError as error:
            # The handle stays: the actor may be back any moment, and finding it takes Ray's head.
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error
        except (RayError, ValueError, ConnectionError, TimeoutError) as error:
            if self._lookup is not None and self._lookup.done():
                self._lookup = None
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error

    async def _address(self) -> CallAddress | None:
        return cast("CallAddress | None", await self._call_by_ray("call_address"))

    async def _found(self) -> Any:
        """Return its handle. While Ray's head is away that waits in a thread, and not for long."""
        if self._lookup is None:
            self._lookup = in_thread(ray.get_actor, self._name, NAMESPACE)
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await asyncio.shield(self._lookup)


class RayDirectory:
    """Finds actors by their names in Ray."""

    def __init__(self, *, has_direct_calls: bool) -> None:
        self._has_direct_calls = has_direct_calls
        self._actors: dict[str, RayActor] = {}

    def host(self, name: str) -> HostPort:
        """Return a host."""
        return RemoteHost(self._actor(name))

    def writer(self, name: str) -> WriterPort:
        """Return a writer."""
        return RemoteWriter(self._actor(name))

    def supervisor(self) -> SupervisorPort:
        """Return the supervisor."""
        return RemoteSupervisor(self._actor(SUPERVISOR))

    def close(self) -> None:
        """Let go of the connections to them."""
        for actor in self._actors.values():
            actor.close()

    def _actor(self, name: str) -> RayActor:
        actor = self._actors.get(name)
        if actor is None:
            actor = RayActor(name, has_direct_calls=self._has_direct_calls)
            self._actors[name] = actor
        return actor


def directory_of(settings: Settings) -> RayDirectory:
    """Return the way to the actors of the cluster that this process is in."""
    # What Ray would encrypt does not go beside it in the clear.
    is_direct = settings.actor_calls == "direct" and not ray_encrypts()
    return RayDirectory(has_direct_calls=is_direct)
