"""Ray's actors: how they are made and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import structlog
from ray._private.state import state as ray_state
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.host import ConversationHost
from actors.nodes import Node
from actors.ports import PeerUnavailable
from actors.remote_directory import NAMESPACE, RayActor, directory_of
from actors.threads import in_thread
from storage.remote import actor_class, storage_writer_class
from storage.settings import Settings

__all__ = [
    "ACTOR_OPTIONS",
    "INGRESS_PREFIX",
    "RayActorFactory",
    "end_actor",
    "end_ingress",
]

log = structlog.get_logger()

INGRESS_PREFIX = "ingress-"
HEAD_RESOURCE = "node:__internal_head__"
MAX_CONCURRENT_CALLS = 1_000
REQUESTS_SECONDS = 20.0
"""More than an HTTP server takes to stop."""

ACTOR_OPTIONS: dict[str, Any] = {
    # Next to nothing, so that nodes with no CPUs to give (``--num-cpus=0``) get no actors.
    "num_cpus": 0.001,
    "lifetime": "detached",
    "namespace": NAMESPACE,
    "get_if_exists": True,
    "max_restarts": -1,
    "max_task_retries": 0,
    "max_concurrency": MAX_CONCURRENT_CALLS,
}


class RayActorFactory:
    """Makes the actors that the supervisor looks after; in threads, since Ray's head may be away.

    All methods raise ``PeerUnavailable``.
    """

    def __init__(self, settings: Settings, ingress_class: type[Any]) -> None:
        # What an actor is made with lies in Ray's head: tokens of callers have no business there,
        # unless it is the one that they call.
        self._settings = settings.without_access()
        self._ingress_class = ingress_class
        self._ingress_settings = settings if settings.ingress_on_nodes else self._settings
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def nodes(self) -> list[Node]:
        """Return the machines that are alive."""
        return await in_thread(_nodes)

    async def make_host(self, name: str, node_id: str) -> None:
        """Make a ``ConversationHost`` on a node, or find it."""
        level = self._settings.effective_log_level
        actor = actor_class(ConversationHost, level, **_options(name, node_id))
        await in_thread(_make, actor, name, self._settings, directory_of(self._settings))

    async def make_writer(self, name: str) -> None:
        """Make a ``StorageWriter``, or find it; where the supervisor is, if that machine lives."""
        level = self._settings.effective_log_level
        writer = storage_writer_class(level, **_options(name, _own_node(), is_soft=True))
        await in_thread(_make, writer, self._settings.postgres_dsn, name)

    async def make_ingress(self, name: str, node: Node) -> bool:
        """Make an HTTP server on a node's own address, or find it; False: one is still ending."""
        if name in self._ending:
            return False
        actor = ray.remote(**_options(name, node.node_id))(self._ingress_class)
        await in_thread(_make, actor, name, self._ingress_settings, node.address)
        return True

    async def end_host(self, name: str) -> None:
        """End a host."""
        await in_thread(_end_host, name)

    async def end_ingress(self, name: str) -> None:
        """End an HTTP server once the requests under way are answered; does not wait for that."""
        if name not in self._ending:
            self._ending[name] = asyncio.create_task(end_ingress(name))
            self._ending[name].add_done_callback(lambda _: self._ending.pop(name))

    async def ask_for_machines(self, bundles: Sequence[dict[str, float]]) -> None:
        """Tell Ray's autoscaler, if there is one, what the cluster should hold."""
        await in_thread(_request, list(bundles))


def _options(name: str, node_id: str, *, is_soft: bool = False) -> dict[str, Any]:
    """Return Ray's options for an actor on a node; ``is_soft``: elsewhere if that is gone."""
    place = NodeAffinitySchedulingStrategy(node_id, soft=is_soft)
    return {**ACTOR_OPTIONS, "name": name, "scheduling_strategy": place}


def _own_node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _request(bundles: list[dict[str, float]]) -> None:
    with _head_needed():
        request_resources(bundles=bundles)


def _make(actor: Any, *arguments: object) -> None:
    with _head_needed():
        actor.remote(*arguments)


def _nodes() -> list[Node]:
    with _head_needed():
        draining = ray_state.get_draining_nodes()
        own = _own_node()
        return [
            Node(
                node_id=it["NodeID"],
                is_head=HEAD_RESOURCE in it["Resources"],
                has_cpus=it["Resources"].get("CPU", 0) > 0,
                is_draining=it["NodeID"] in draining,
                is_own=it["NodeID"] == own,
                cpus=float(it["Resources"].get("CPU", 0)),
                address=it["NodeManagerAddress"],
            )
            for it in ray.nodes()  # type: ignore[no-untyped-call]
            if it["Alive"]
        ]


@contextmanager
def _head_needed() -> Iterator[None]:
    try:
        yield
    except (RayError, ValueError, RuntimeError, ConnectionError) as error:
        raise PeerUnavailable(f"Ray's head: {type(error).__name__}") from error


def _end_host(name: str) -> None:
    with _head_needed():
        end_actor(name)


async def end_ingress(name: str) -> None:
    """End an HTTP server once the requests under way are answered, or have taken too long."""
    try:
        async with asyncio.timeout(REQUESTS_SECONDS):
            await RayActor(name, has_direct_calls=False).call("stop")
    except (PeerUnavailable, TimeoutError):
        log.warning("ingress_cut_off", ingress=name)  # its callers ask again
    await in_thread(end_actor, name)


def end_actor(name: str) -> None:
    """End an actor, if it is there. Raises what Ray raises while its head is away."""
    try:
        ray.kill(ray.get_actor(name, NAMESPACE))
    except ValueError:
        return  # it was not there
