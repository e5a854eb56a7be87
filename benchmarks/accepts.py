"""Messages that ``/chat/message`` takes a second while the AI answers nothing."""

from __future__ import annotations

import urllib.request

from benchmarks.closed_loop import ClosedLoop, send_closed_loop
from benchmarks.endpoint import Endpoint
from benchmarks.product import product
from benchmarks.result import Measurement, Outcome, Result, Table
from benchmarks.run import Run
from benchmarks.statistics import Rounds, ratios
from benchmarks.systems import stubs

__all__ = ["MEASUREMENTS", "set_ai_delay"]

IN_FLIGHT = 512
LIGHT_IN_FLIGHT = 16
HELD_MS = 3_600_000
BUSY_CONVERSATIONS = 8_000
OPENING_SECONDS = 8
NEW_CONVERSATIONS = 10_000_000
SETTINGS = {"AI_SERVICE_TIMEOUT": "3600", "HOST_MAX_BUSY": "1000000", "MAX_IN_FLIGHT": "1000000"}
SLICE_SECONDS = 3
SLICES = 3
"""In a round. Turns and accepts take turns so often that what the machine does differently from
one moment to the next falls on both."""


def measure_accepts(run: Run) -> Outcome:
    """Measure turns on one start, acceptance on another whose AI is held, side by side."""
    turns: list[ClosedLoop] = []
    accepts: list[ClosedLoop] = []
    light: list[ClosedLoop] = []
    opened: list[ClosedLoop] = []
    busy = BUSY_CONVERSATIONS
    with (
        stubs(run) as quick,
        stubs(run) as held,
        product(run, quick.ai_url, quick.platform_url, SETTINGS) as answering,
        product(run, held.ai_url, held.platform_url, SETTINGS) as accepting,
    ):
        set_ai_delay(held.ai_url, HELD_MS)
        endpoint = accepting.endpoint.accepting()
        _measure(run, answering.endpoint, IN_FLIGHT, None, "turn", run.seconds)
        _measure(run, endpoint, IN_FLIGHT, busy, "busy", OPENING_SECONDS)
        for _ in range(run.rounds * SLICES):
            turns.append(_measure(run, answering.endpoint, IN_FLIGHT, None, "turn"))
            accepts.append(_measure(run, endpoint, IN_FLIGHT, busy, "busy"))
        for _ in range(run.rounds):
            light.append(_measure(run, endpoint, LIGHT_IN_FLIGHT, busy, "busy", run.seconds))
            opened.append(_measure(run, endpoint, IN_FLIGHT, NEW_CONVERSATIONS, "new"))
    ratio = ratios([it.per_second for it in accepts], [it.per_second for it in turns])
    wait = Rounds.of([it.p50_ms for it in light])
    results = [
        Result(
            "accepted messages / turns a second",
            ratio.median,
            "×",
            low=ratio.low,
            high=ratio.high,
            least=3,
        ),
        Result(
            f"/chat/message, p50, {LIGHT_IN_FLIGHT} in flight",
            wait.median,
            "ms",
            low=wait.low,
            high=wait.high,
            least=15,
            good="low",
        ),
    ]
    rows = [
        _row(f"turns, {IN_FLIGHT} in flight", turns),
        _row(f"accepts in busy conversations, {IN_FLIGHT} in flight", accepts),
        _row(f"accepts in busy conversations, {LIGHT_IN_FLIGHT} in flight", light),
        _row(f"accepts, each in a new conversation, {IN_FLIGHT} in flight", opened),
    ]
    note = (
        "Turns and accepts are measured in turn, on two starts side by side. For accepts the AI is "
        f"held: {BUSY_CONVERSATIONS:,} conversations have a turn that does not end, and get "
        "further messages. In the last row each message opens a conversation, which takes a lease "
        "and claims it."
    )
    columns = ("", "messages/s", "p50, ms", "p99, ms")
    return Outcome(results, [Table("Acceptance with the AI held", columns, rows, note)])


def set_ai_delay(ai_url: str, delay_ms: float) -> None:
    """Change how long the stub takes for its next answers."""
    request = urllib.request.Request(f"{ai_url}/delay?ms={delay_ms}", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - our own stub
        return


def _measure(
    run: Run,
    endpoint: Endpoint,
    in_flight: int,
    conversations: int | None,
    prefix: str,
    seconds: int = SLICE_SECONDS,
) -> ClosedLoop:
    found = send_closed_loop(
        endpoint, in_flight, seconds, conversations=conversations, prefix=prefix
    )
    run.say(f"  {prefix}, {in_flight} in flight: {found.per_second:,.0f}/s, p50 {found.p50_ms} ms")
    return found


def _row(name: str, found: list[ClosedLoop]) -> tuple[str, str, str, str]:
    figures = ("per_second", "p50_ms", "p99_ms")
    a, b, c = (str(Rounds.of([getattr(it, figure) for it in found])) for figure in figures)
    return name, a, b, c


MEASUREMENTS = (
    Measurement("accepts", "accepted messages a second with the AI held", measure_accepts),
)
