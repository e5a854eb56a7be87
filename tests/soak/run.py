"""One soak from its start to its report."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from ingress.terminal.progress import ProgressBar
from storage.postgres import Database, DatabaseUnavailable
from tests.soak.faults import FAULTS, Fault
from tests.soak.load import Load
from tests.soak.report import FaultRecord, Report, takeover_seconds
from tests.soak.stack import SoakStack
from tests.stack.history import History
from tests.stack.traffic import Traffic, open_traffic

__all__ = ["Plan", "run"]

SETTLE_SECONDS = 120.0
SHORTEST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 9.0
"""Between the end of a fault and the next; now and then there is none."""
WARM_UP_SECONDS = 60.0

_UNSETTLED = """
select (select count(*) from messages where processed_at is null)
    + (select count(*) from jobs where status in ('queued', 'processing')
        or delivery_status = 'pending') as waiting
"""


@dataclass(frozen=True)
class Plan:
    """What is asked of a soak."""

    seed: int
    seconds: float
    messages_per_second: float
    clusters: int
    only: str = ""
    """Faults whose names hold this; all, if empty."""

    @property
    def faults(self) -> list[Fault]:
        """Return those to choose from. Raises ``ValueError`` if none."""
        found = [it for it in FAULTS if self.only in it.name]
        if not found:
            raise ValueError(f"no fault is named like {self.only!r}")
        return found


def run(plan: Plan, directory: Path) -> Report:
    """Run it. Raises ``AssertionError`` when a promise was broken."""
    stack = SoakStack(directory, plan.clusters)
    try:
        stack.start()
        return asyncio.run(_Soak(plan, stack).run())
    finally:
        stack.stop()


class _Soak:
    def __init__(self, plan: Plan, stack: SoakStack) -> None:
        self._plan = plan
        self._stack = stack
        self._records: list[FaultRecord] = []
        self._memory_before: dict[str, float] = {}

    async def run(self) -> Report:
        async with AsyncExitStack() as exits:
            entrances = [
                await exits.enter_async_context(open_traffic(it.server.url, concurrency=1_000))
                for it in self._stack.clusters
            ]
            rate = self._plan.messages_per_second
            load = Load(entrances, self._stack.stubs, rate, self._plan.seed)
            stop = asyncio.Event()
            sending = asyncio.create_task(load.run(stop))
            started_at = time.monotonic()
            with ProgressBar("Minutes of faults", self._plan.seconds / 60) as bar:
                await self._break_things(started_at, bar)
            seconds = time.monotonic() - started_at
            stop.set()
            await sending
            settled_after = await self._settled()
            return await self._report(load, entrances, seconds, settled_after)

    async def _break_things(self, started_at: float, bar: ProgressBar) -> None:
        rng = random.Random(self._plan.seed + 1)
        faults = self._plan.faults
        end = started_at + self._plan.seconds
        is_warm = False
        while time.monotonic() < end:
            bar.reach((time.monotonic() - started_at) / 60)
            await asyncio.sleep(rng.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
            if not is_warm and time.monotonic() - started_at > WARM_UP_SECONDS:
                is_warm = True
                self._memory_before = await asyncio.to_thread(self._stack.memory_mib)
            several = rng.choices(faults, [it.weight for it in faults], k=rng.choice((1, 1, 1, 2)))
            await asyncio.gather(
                *(self._do(it, random.Random(rng.getrandbits(32))) for it in set(several))
            )

    async def _do(self, fault: Fault, rng: random.Random) -> None:
        began_at = time.monotonic()
        has_struck = await fault.act(self._stack, rng)
        ended_at = time.monotonic()
        if has_struck:
            self._records.append(FaultRecord(fault.name, began_at, ended_at))
        missed = "" if has_struck else " (missed)"
        print(f"{time.strftime('%H:%M:%S')} {fault.name}, {ended_at - began_at:.1f} s{missed}")

    async def _settled(self) -> float:
        """Wait until nothing waits; return how long that took from the last fault's end."""
        ended_at = max(it.ended_at for it in self._records)
        database = await Database.connect(self._stack.postgres.url, max_connections=1)
        try:
            while True:
                waiting = await self._waiting(database)
                since = time.monotonic() - ended_at
                if waiting == 0:
                    return since
                assert since < SETTLE_SECONDS, f"{waiting} wait {since:.0f} s after the last fault"
                await asyncio.sleep(0.2)
        finally:
            await database.close()

    async def _waiting(self, database: Database) -> int | None:
        try:
            (row,) = await database.fetch(_UNSETTLED)
        except DatabaseUnavailable:
            return None
        return int(row["waiting"])

    async def _report(
        self, load: Load, entrances: list[Traffic], seconds: float, settled_after: float
    ) -> Report:
        stubs, ids, accepted = self._stack.stubs, load.conversation_ids, load.accepted()
        history = await History.read(self._stack.postgres.url, stubs, ids)
        history.check(
            accepted,
            is_undisturbed=False,
            requests=[it for entrance in entrances for it in entrance.requests],
            calls_may_overlap=True,
            may_deliver_late=True,
        )
        turns = [turn for story in history.stories.values() for turn in story.turns]
        deliveries = [it for key in ids for it in stubs.delivered(key)]
        calls = [stubs.ai_calls(it) for it in ids]
        memory_after = await asyncio.to_thread(self._stack.memory_mib)
        return Report(
            seed=self._plan.seed,
            seconds=seconds,
            settled_after_seconds=settled_after,
            conversations=len(ids),
            requests=sum(len(it.waits) + len(it.refusals) + it.broken for it in entrances),
            accepted=len(accepted),
            turns=len(turns),
            failed_turns=sum(it["status"] == "failed" for it in turns),
            delivered=len(deliveries),
            ai_calls=sum(len(it) for it in calls),
            repeated_deliveries=len(deliveries) - len({it.idempotency_key for it in deliveries}),
            refusals=Counter(status for it in entrances for status in it.refusals),
            broken_connections=sum(it.broken for it in entrances),
            waits=[seconds for it in entrances for seconds in it.waits],
            faults=self._records,
            takeovers=takeover_seconds(calls, self._records),
            memory_mib={
                kind: (before, memory_after.get(kind, 0.0))
                for kind, before in self._memory_before.items()
            },
        )
