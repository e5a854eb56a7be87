"""A fixed number of requests in flight, sent by ``wrk``: how much goes through."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from benchmarks.endpoint import Endpoint

__all__ = ["ClosedLoop", "VoidMeasurement", "send_closed_loop"]

SCRIPT = Path(__file__).with_name("messages.lua")
MARK = "RESULT "
LEAST_SETTLE_SECONDS = 1.0
MOST_SETTLE_SECONDS = 10.0
FEWEST_CONVERSATIONS = 8
CONVERSATIONS_IN_FLIGHT = 4
"""So many conversations for each request in flight: a message comes to one that is idle."""
_runs = count(1)


class VoidMeasurement(RuntimeError):
    """Some answers were not what a fast answer must be to count; the text says how many."""


class _Output(msgspec.Struct):
    seconds: float
    requests: int
    least_ms: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    broken: int
    counts: dict[str, int]


@dataclass(frozen=True)
class ClosedLoop:
    """What a run of the closed loop gave."""

    per_second: float
    answers: int
    p50_ms: float
    p99_ms: float
    p999_ms: float


def send_closed_loop(
    endpoint: Endpoint,
    in_flight: int,
    seconds: float,
    *,
    warm_up_seconds: float = 0,
    conversations: int | None = None,
    prefix: str | None = None,
) -> ClosedLoop:
    """Keep ``in_flight`` requests under way; count after a warm-up with the same conversations.

    ``prefix`` begins the ids of the conversations (None: new ones).
    ``seconds`` are whole ones. Raises ``VoidMeasurement`` if an answer is none of
    ``endpoint.statuses``.
    """
    if conversations is None:
        conversations = max(CONVERSATIONS_IN_FLIGHT * in_flight, FEWEST_CONVERSATIONS)
    prefix = prefix or f"c{next(_runs)}-{time.time_ns() // 1_000_000 % 10**9}"
    if warm_up_seconds:
        _settle(_wrk(endpoint, in_flight, warm_up_seconds, conversations, prefix))
    found = _wrk(endpoint, in_flight, seconds, conversations, prefix)
    _settle(found)
    if not found.requests:
        raise VoidMeasurement(f"{endpoint.name} at {in_flight} in flight: no answer")
    # The clock starts with the first answer: before it there is none, however fast it goes.
    counted_seconds = found.seconds - found.least_ms / 1000
    return ClosedLoop(
        found.requests / counted_seconds,
        found.requests,
        found.p50_ms,
        found.p99_ms,
        found.p999_ms,
    )


def _settle(found: _Output) -> None:
    """Wait until what was in flight when the clock ran out is answered as well."""
    longest = 1.5 * found.p99_ms / 1000 if found.requests else MOST_SETTLE_SECONDS
    time.sleep(min(max(longest, LEAST_SETTLE_SECONDS), MOST_SETTLE_SECONDS))


def _wrk(
    endpoint: Endpoint, in_flight: int, seconds: float, conversations: int, prefix: str
) -> _Output:
    program = shutil.which("wrk")
    if program is None:
        raise FileNotFoundError("wrk is not installed (Debian: apt-get install wrk)")
    headers = [f"Authorization: Bearer {endpoint.token}", "Content-Type: application/json"]
    load = f"-t1 -c{in_flight} -d{seconds:.0f}s --timeout 30s".split()
    sent_as = [part for header in headers for part in ("-H", header)]
    arguments = [endpoint.kind, str(conversations), prefix, f"m{next(_runs)}-{time.time_ns()}"]
    done = subprocess.run(
        [program, *load, "-s", str(SCRIPT), *sent_as, endpoint.url, "--", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise VoidMeasurement(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    found = msgspec.json.decode(lines[0][len(MARK) :], type=_Output)
    wrong = {what: number for what, number in found.counts.items() if what not in endpoint.statuses}
    if wrong or found.broken:
        raise VoidMeasurement(
            f"{endpoint.name} at {in_flight} in flight: {found.requests} answers, "
            f"of these {wrong}, {found.broken} broken"
        )
    return found
