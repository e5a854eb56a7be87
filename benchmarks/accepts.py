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

SYNCHRONOUS_IN_FLIGHT = 512
ACCEPTS_IN_FLIGHT = 256
LIGHT_IN_FLIGHT = 16
HELD_MS = 3_600_000
BUSY_CONVERSATIONS = 4_000
NEW_CONVERSATIONS = 10_000_000
SETTINGS = {"AI_SERVICE_TIMEOUT": "3600", "HOST_MAX_BUSY": "1000000", "MAX_IN_FLIGHT": "1000000"}


def measure_accepts(run: Run) -> Outcome:
    """Measure turns first, then hold the AI and measure acceptance, on the same start."""
    turns: list[ClosedLoop] = []
    accepts: list[ClosedLoop] = []
    light: list[ClosedLoop] = []
    opened: list[ClosedLoop] = []
    for _ in range(run.rounds):
        with (
            stubs(run) as both,
            product(run, both.ai_url, both.platform_url, SETTINGS) as running,
        ):
            turns.append(_measure(run, running.endpoint, SYNCHRONOUS_IN_FLIGHT, None, "turn"))
            set_ai_delay(both.ai_url, HELD_MS)
            endpoint = running.endpoint.accepting()
            busy = BUSY_CONVERSATIONS
            accepts.append(_measure(run, endpoint, ACCEPTS_IN_FLIGHT, busy, "busy"))
            light.append(_measure(run, endpoint, LIGHT_IN_FLIGHT, busy, "busy"))
            opened.append(_measure(run, endpoint, ACCEPTS_IN_FLIGHT, NEW_CONVERSATIONS, "new"))
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
        _row(f"turns, {SYNCHRONOUS_IN_FLIGHT} in flight", turns),
        _row(f"accepts in busy conversations, {ACCEPTS_IN_FLIGHT} in flight", accepts),
        _row(f"accepts in busy conversations, {LIGHT_IN_FLIGHT} in flight", light),
        _row(f"accepts, each in a new conversation, {ACCEPTS_IN_FLIGHT} in flight", opened),
    ]
    note = (
        f"The AI is held: {BUSY_CONVERSATIONS:,} conversations have a turn that does not end, and "
        "get further messages. In the last row each message opens a conversation, which takes a "
        "lease and claims it."
    )
    columns = ("", "messages/s", "p50, ms", "p99, ms")
    return Outcome(results, [Table("Acceptance with the AI held", columns, rows, note)])


def set_ai_delay(ai_url: str, delay_ms: float) -> None:
    """Change how long the stub takes for its next answers."""
    request = urllib.request.Request(f"{ai_url}/delay?ms={delay_ms}", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - our own stub
        return


def _measure(
    run: Run, endpoint: Endpoint, in_flight: int, conversations: int | None, prefix: str
) -> ClosedLoop:
    found = send_closed_loop(
        endpoint,
        in_flight,
        run.seconds,
        warm_up_seconds=run.warm_up_seconds,
        conversations=conversations,
        prefix=prefix,
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
