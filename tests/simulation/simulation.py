"""One simulation: a scenario, its faults, and what the checker says."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation import faults  # noqa: F401 -- fills the list that is drawn from
from tests.simulation.breaker import Breaker
from tests.simulation.checker import Checker
from tests.simulation.clients import Client
from tests.simulation.cluster import Cluster
from tests.simulation.database import DatabaseServer
from tests.simulation.lease_store import LeaseStore
from tests.simulation.network import Network
from tests.simulation.patches import limits_of, product_in_simulation
from tests.simulation.process import EPOCH, Process, current_process
from tests.simulation.rows import Answer
from tests.simulation.scenario import BOTS, Scenario
from tests.simulation.services import Services
from tests.simulation.tables import Tables
from tests.simulation.trace import Trace
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.weather import Weather

__all__ = ["Result", "simulate"]

LOOK_SECONDS = 0.25
SETTLE_SECONDS = 20.0
"""After the faults everything has settled by then: a lease (3 s) and its fence (3 s), the sweeper's
patience and round (4 s), the longest pause before a delivery is tried again (8 s), and turns."""
BUGS = ("exception", "error", "critical")
"""Levels at which the product logs only what should not happen."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a simulation."""

    seed: int
    violations: list[str]
    digest: int
    simulated_seconds: float
    settle_seconds: float
    cpu_seconds: float
    messages: int
    turns: int
    faults: Counter[str]
    lines: list[str]


class _Simulation:
    """Everything that a simulation has, and its course."""

    def __init__(self, seed: int, *, keeps_trace: bool) -> None:
        self.scenario = scenario = Scenario.of(seed)
        self.loop = VirtualLoop()  # type: ignore[abstract]  # has all that is used
        self.trace = Trace(is_kept=keeps_trace)
        self.weather = Weather()
        self.checker = Checker(lambda: self.loop.now)
        self.processes: dict[str, Process] = {}
        self.network = Network(
            self.loop, Random(f"{seed}/network"), self.weather, self.trace, self.processes
        )
        self.tables = Tables(
            lambda: EPOCH + self.loop.now,
            self.checker,
            lambda line: self.trace.note(self.loop.now, line),
        )
        self.database = DatabaseServer(self.network, self.tables)
        self.database.bots = [Answer(bots=len(BOTS))]
        self.store = LeaseStore(self.network, self.checker)
        self.services = Services(self.network, self.checker)
        self.clusters = [
            Cluster(
                scenario.settings(name),
                self.network,
                self.database,
                self.checker,
                self.processes,
                Random(f"{seed}/{name}"),
            )
            for name in scenario.clusters
        ]
        self.network.on_call = self._on_call
        self.settle_seconds = 0.0

    def _on_call(self, process: Process, method: str, arguments: tuple[Any, ...]) -> None:
        self.trace.note(self.loop.now, f"{process}.{method}")
        self.clusters[self.scenario.clusters.index(process.cluster)].hear(
            process, method, arguments
        )

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Take a log line of the product."""
        self.trace.note(self.loop.now, f"{current_process()} {level} {event} {fields}")
        if level in BUGS:
            error = sys.exc_info()[1]
            self.checker.report("the product has no bugs", f"{event}: {error!r} {fields}")

    async def run(self) -> None:
        """Start, load and break it, repair it, and wait until all is settled."""
        scenario, seed = self.scenario, self.scenario.seed
        for cluster in self.clusters:
            cluster.start()
        clients = [
            Client(
                f"c{number}",
                scenario.clusters,
                self.network,
                self.checker,
                Random(f"{seed}/client {number}"),
            )
            for number in range(scenario.conversations)
        ]
        breaker = Breaker(
            self.clusters, self.network, self.store, clients, Random(f"{seed}/faults")
        )
        writing = [asyncio.create_task(client.write(scenario.load_seconds)) for client in clients]
        await breaker.run(scenario.faults, scenario.load_seconds)
        self.weather.clear()
        await self._settle(writing)
        self._check_end()

    async def _settle(self, writing: list[asyncio.Task[None]]) -> None:
        """Wait until all is decided, from the end of the faults or from the last message on."""
        healed_at = self.loop.now
        is_settled = False
        while not (is_settled and all(task.done() for task in writing)):
            await asyncio.sleep(LOOK_SECONDS)
            is_settled = self._is_settled()
            if not is_settled:
                self.settle_seconds = self.loop.now - max(healed_at, self._last_accepted_at())
            if self.settle_seconds > SETTLE_SECONDS:
                return

    def _last_accepted_at(self) -> float:
        conversations = self.tables.conversations.values()
        return max((it.last_accepted_at for it in conversations), default=EPOCH) - EPOCH

    def _is_settled(self) -> bool:
        return all(
            job.status.is_final and job.delivery_status != "pending"
            for conversation in self.tables.conversations.values()
            for job in conversation.jobs.values()
        )

    def _check_end(self) -> None:
        checker = self.checker
        for conversation in self.tables.conversations.values():
            jobs = conversation.jobs.values()
            stuck = [f"{it.job_id} is {it.status}" for it in jobs if not it.status.is_final]
            stuck += [f"{it.job_id} is not sent" for it in conversation.undelivered()]
            stuck += [f"{it.message_id} waits" for it in conversation.pending()]
            if stuck:
                checker.report("everything settles", f"{conversation.conversation_id}: {stuck}")
        checker.deliveries.check_order()
        checker.answers.check(self.tables.conversations)
        for problem in self.loop.problems:
            checker.report("the product has no bugs", problem)


def simulate(seed: int, *, keeps_trace: bool = False) -> Result:
    """Run the simulation of a seed."""
    started = time.process_time()
    it = _Simulation(seed, keeps_trace=keeps_trace)
    limits = limits_of(is_tight=it.scenario.is_tight)
    with product_in_simulation(
        seed=seed,
        limits=limits,
        bots=BOTS,
        database=it.database,
        store=it.store,
        services=it.services,
        on_turn=it.checker.turns.started,
        log=it.log,
    ):
        try:
            it.loop.run(it.run())
        except Exception as error:  # a bug of the product's, or of the simulation's
            it.checker.report("the simulation runs to its end", repr(error))
            if keeps_trace:
                raise
    conversations = it.tables.conversations.values()
    return Result(
        seed=seed,
        violations=it.checker.violations,
        digest=it.trace.digest,
        simulated_seconds=it.loop.now,
        settle_seconds=it.settle_seconds,
        cpu_seconds=time.process_time() - started,
        messages=sum(len(conversation.messages) for conversation in conversations),
        turns=len(it.checker.turns.by_job),
        faults=it.weather.injected,
        lines=it.trace.lines,
    )
