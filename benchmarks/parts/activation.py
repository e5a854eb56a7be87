"""How many conversations that are not in memory a host takes up in a second."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

from actors.outcome import OutcomeKind
from benchmarks.parts.arrivals import stored_messages
from benchmarks.parts.known_conversations import conversation_id, store_known_conversations
from benchmarks.parts.lone_host import LoneHost, lone_host, run_in_loop
from benchmarks.parts.servers import Servers, fresh_database, started_servers
from benchmarks.result import Outcome, Result, Table
from benchmarks.run import Run

__all__ = ["measure_activation"]

AT_ONCE = 4_000
BURSTS = 2
WARM_UP = 500
HELD_SECONDS = 600.0
"""So long the AI does not answer where its answers are not waited for."""
ENDED = (OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.RESTART_NEEDED, OutcomeKind.GONE)


def measure_activation(run: Run) -> Outcome:
    """Measure activations by themselves, then with the turns that follow from them."""
    taken: list[float] = []
    answered: list[float] = []
    with started_servers(run.folder("activation")) as servers:
        for _ in range(run.rounds):
            folder = run.folder("activation")
            taken += run_in_loop(_measure(servers, folder, HELD_SECONDS, (OutcomeKind.STARTED,)))
            answered += run_in_loop(_measure(servers, folder, 0.0, ENDED))
    return Outcome(
        results=[
            Result(
                "activations of known conversations in one host",
                median(taken),
                "a second",
                low=min(taken),
                high=max(taken),
                least=1_000,
            )
        ],
        tables=[
            Table(
                "Known conversations taken up by one host",
                ("", "a second", "least", "most"),
                [
                    ("lease, claim with context, turn begun", *_spread(taken)),
                    ("the same, answered (AI of 0 ms) and delivered", *_spread(answered)),
                ],
                f"{AT_ONCE:,} messages at once, each for a conversation with a context of two "
                "messages that only the database knows. Beside the host: PostgreSQL, Valkey and "
                "a writer in a process of its own. The first line stops the clock when the last "
                "turn has begun, with an AI that does not answer meanwhile.",
            )
        ],
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


async def _measure(
    servers: Servers, folder: Path, ai_seconds: float, kinds: tuple[OutcomeKind, ...]
) -> list[float]:
    async with fresh_database(servers) as url:
        await store_known_conversations(url, WARM_UP + AT_ONCE * BURSTS)
        async with lone_host(
            servers.redis.url, folder, url, simulated_ai_seconds=ai_seconds
        ) as host:
            await _burst(host, 0, WARM_UP, kinds)
            return [
                await _burst(host, WARM_UP + number * AT_ONCE, AT_ONCE, kinds)
                for number in range(BURSTS)
            ]


async def _burst(host: LoneHost, start: int, count: int, kinds: tuple[OutcomeKind, ...]) -> float:
    ids = [conversation_id(number) for number in range(start, start + count)]
    envelopes = await stored_messages(host.storage, ids)
    waiting = set(ids)
    began = time.perf_counter()
    telling = asyncio.create_task(host.tell(envelopes))
    while waiting:
        for outcome in await host.hear():
            if outcome.kind in kinds:
                waiting.discard(outcome.conversation_id)
    await telling
    return count / (time.perf_counter() - began)
