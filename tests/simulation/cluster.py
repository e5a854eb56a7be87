"""A cluster of simulated processes, in which the real actors run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, cast

from actors.codec import decode_envelopes
from actors.host import ConversationHost
from actors.nodes import Node
from actors.ports import HostPort, SupervisorPort, WriterPort
from actors.supervisor import Supervisor
from storage.settings import Settings
from storage.writer import StorageWriter
from tests.simulation.checker import Checker
from tests.simulation.database import DatabaseServer
from tests.simulation.ingress import Ingress
from tests.simulation.network import Network
from tests.simulation.process import Process

__all__ = ["Cluster"]

FASTEST_RESTART_SECONDS = 0.3
SLOWEST_RESTART_SECONDS = 2.0
FASTEST_CLOCK = 0.01
"""By so much a clock is faster or slower than another, at most."""


class _Peer:
    """Another actor: every method is a call over the network."""

    def __init__(self, network: Network, address: str) -> None:
        self._network = network
        self._address = address

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._network.call, self._address, method)


class Cluster:
    """Makes processes (it is the ``ActorFactory``), finds them (the ``Directory``), ends them."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        database: DatabaseServer,
        checker: Checker,
        processes: dict[str, Process],
        random: Random,
    ) -> None:
        self.name = settings.cluster_name
        self.settings = settings
        self._network = network
        self._database = database
        self._checker = checker
        self._processes = processes
        self._random = random
        self.former: list[Process] = []
        """Dead ones: what they held is let go when all is over."""

    def start(self) -> None:
        """Start what ``chat-orchestrator up`` starts."""
        self._start("supervisor", self._supervisor)
        self._start("ingress", self._ingress)

    def host(self, name: str) -> HostPort:
        return cast("HostPort", _Peer(self._network, f"{self.name}/{name}"))

    def writer(self, name: str) -> WriterPort:
        return cast("WriterPort", _Peer(self._network, f"{self.name}/{name}"))

    def supervisor(self) -> SupervisorPort:
        return cast("SupervisorPort", _Peer(self._network, f"{self.name}/supervisor"))

    def close(self) -> None:
        """Nothing leads to them but the simulated network."""

    async def nodes(self) -> list[Node]:
        return [Node(node_id=self.name, is_head=True, has_cpus=True)]

    async def make_host(self, name: str, node_id: str) -> None:
        self._make(name, lambda: ConversationHost(name, self.settings, self))

    async def make_writer(self, name: str) -> None:
        self._make(name, lambda: StorageWriter(self.settings.postgres_dsn or ""))

    async def make_ingress(self, name: str, node: Node) -> bool:
        raise AssertionError("the settings want none")

    async def end_ingress(self, name: str) -> None:
        raise AssertionError("the settings want none")

    async def end_host(self, name: str) -> None:
        """End one that has emptied itself; the supervisor has it made anew."""
        process = self._processes.pop(f"{self.name}/{name}", None)
        if process is not None and not process.is_dead:
            self._end(process)

    async def ask_for_machines(self, bundles: Sequence[dict[str, float]]) -> None:
        raise AssertionError("nothing scales by itself")

    def _make(self, name: str, make: Callable[[], object]) -> None:
        """Start what was never there; one that has died is started again by ``kill``."""
        if f"{self.name}/{name}" not in self._processes:
            self._start(name, make)

    def _supervisor(self) -> Supervisor:
        return Supervisor(self.settings, self, self)

    def _ingress(self) -> Ingress:
        return Ingress(self.settings, self, self._database)

    def _start(self, name: str, make: Callable[[], object]) -> None:
        address = f"{self.name}/{name}"
        if address in self._processes and not self._processes[address].is_dead:
            return
        process = Process(self._network.loop, name, self.name)
        process.monotonic_offset_seconds = self._random.uniform(0, 1e6)
        process.wall_offset_seconds = self._random.uniform(-0.5, 0.5)
        process.clock_rate = 1 + self._random.uniform(-FASTEST_CLOCK, FASTEST_CLOCK)
        process.make = make
        self._processes[address] = process
        process.instance = process.context.run(make)

    def processes(self, kind: str) -> list[Process]:
        """Return the processes that are alive and whose names begin with ``kind``."""
        found = [it for it in self._processes.values() if it.cluster == self.name]
        return [it for it in found if it.name.startswith(kind) and not it.is_dead]

    def kill(self, process: Process) -> None:
        """End a process at once; Ray (or whoever looks after it) starts it again."""
        self._end(process)
        seconds = self._random.uniform(FASTEST_RESTART_SECONDS, SLOWEST_RESTART_SECONDS)
        self._network.at_home_of(None, seconds, self._start, process.name, process.make)

    def _end(self, process: Process) -> None:
        process.die()
        self.former.append(process)
        self._network.hang_up(process)

    def hear(self, process: Process, method: str, arguments: tuple[Any, ...]) -> None:
        """Note what a host is told of conversations that it has in memory."""
        runner = process.instance._runner if method == "receive" else None
        if runner is None:
            return
        for envelope in decode_envelopes(arguments[0]):
            key = envelope.conversation_id
            if envelope.message_id is not None and key in runner.seats:
                self._checker.turns.heard(process.owner, key, [envelope.message_id])
