"""One of two clusters is cut off from Redis while people write to both."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from tests.stack.ask import message
from tests.stack.clusters import Clusters, new_ids
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.health import health_becomes
from tests.stack.history import History
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic, open_traffic

__all__ = ["CutOff", "cut_off"]

CONVERSATIONS = 20
PAUSES_SECONDS = (LEASE_SECONDS / 2, 1.3 * LEASE_SECONDS)
"""Between two messages of a conversation: one goes to ``a``, the next to ``b``. Of every other
conversation the row is nobody's by the time of the next message."""
AI_SECONDS = 0.3
NOTICED_SECONDS = 10.0


@dataclass
class CutOff:
    """What came of it."""

    seconds: float = 0.0
    claims: list[int] = field(default_factory=list)
    """How often the epoch of each conversation was raised while it lasted."""
    later_claims: list[int] = field(default_factory=list)
    """And from its end until all was settled."""
    messages: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    longest_wait_seconds: float = 0.0
    repeated_calls: int = 0

    def __str__(self) -> str:
        return (
            f"cut off for {self.seconds:.0f} s: {sum(self.claims)} claims in {len(self.claims)} "
            f"conversations, at most {max(self.claims)} in one, {sum(self.later_claims)} "
            f"afterwards, at most {max(self.later_claims)}; {self.messages} messages, "
            f"{self.statuses}, longest wait {self.longest_wait_seconds:.1f} s, "
            f"{self.repeated_calls} AI calls repeated"
        )


async def cut_off(
    clusters: Clusters, stubs: Stubs, inside: Inside, seconds: float, *, is_black_hole: bool
) -> CutOff:
    """Cut ``a`` off for so long, with a black hole or by refusing; check the history at its end."""
    ids = new_ids("cut", CONVERSATIONS)
    for conversation_id in ids:
        stubs.delay(conversation_id, AI_SECONDS)
    over = asyncio.Event()
    proxy = clusters.redis_of_a
    async with open_traffic(clusters.a.url, 500) as to_a, open_traffic(clusters.b.url, 500) as to_b:
        ways = itertools.product(PAUSES_SECONDS, [(to_a, to_b), (to_b, to_a)])
        talks = [
            asyncio.create_task(_talk(it, pause_seconds, pair, over))
            for it, (pause_seconds, pair) in zip(ids, itertools.cycle(ways), strict=False)
        ]

        async def are_all_owned() -> bool:
            epochs = await _epochs(inside, ids)
            return len(epochs) == len(ids) and min(epochs) > 0

        await wait_for(are_all_owned, what="every conversation has an owner")
        before = await _epochs(inside, ids)
        started_at = time.monotonic()
        with proxy.black_hole() if is_black_hole else proxy.refuse():
            await health_becomes(clusters.a, "degraded", NOTICED_SECONDS)
            await health_becomes(clusters.b, "healthy", NOTICED_SECONDS)
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started_at)))
            during = await _epochs(inside, ids)
            lasted = time.monotonic() - started_at
        await health_becomes(clusters.a, "healthy", NOTICED_SECONDS)
        over.set()
        await asyncio.gather(*talks)
        bodies = to_a.bodies | to_b.bodies
        history = await History.when_over(clusters.postgres.url, stubs, ids)
        history.check(
            bodies,
            is_undisturbed=False,
            requests=to_a.requests + to_b.requests,
            # A call may be repeated where the row lapses in the moment in which a turn begins.
            calls_may_overlap=True,
        )
        _check_answers(to_a, to_b)
        after = await _epochs(inside, ids)
    return CutOff(
        lasted,
        _differences(before, during),
        _differences(during, after),
        len(bodies),
        {
            word: to_a.statuses().get(word, 0) + to_b.statuses().get(word, 0)
            for word in {*to_a.statuses(), *to_b.statuses()}
        },
        max(to_a.waits + to_b.waits),
        sum(len(story.ai_calls) - len(story.turns) for story in history.stories.values()),
    )


def _differences(before: list[int], after: list[int]) -> list[int]:
    return [later - earlier for earlier, later in zip(before, after, strict=True)]


async def _talk(
    conversation_id: str,
    pause_seconds: float,
    clusters: tuple[Traffic, Traffic],
    over: asyncio.Event,
) -> None:
    """Write to both in turn, whether or not there was an answer, until it is over."""
    sending = []
    for number, traffic in enumerate(itertools.cycle(clusters)):
        if over.is_set():
            break
        sending.append(
            asyncio.create_task(traffic.send(message(conversation_id, f"text {number}")))
        )
        await asyncio.sleep(pause_seconds)
    await asyncio.gather(*sending)


async def _epochs(inside: Inside, ids: list[str]) -> list[int]:
    rows = await inside.rows(
        """select conversation_id, epoch from conversations
        where conversation_id = any($1::text[]) order by conversation_id""",
        ids,
    )
    return [int(row["epoch"]) for row in rows]


def _check_answers(*traffics: Traffic) -> None:
    for traffic in traffics:
        assert not traffic.refusals, f"refused: {traffic.refusals}"
        assert not traffic.broken
        words = set(traffic.statuses())
        assert words <= {"completed", "locked", "restart_needed", "processing"}, words
