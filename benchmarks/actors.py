"""A Ray actor for each conversation: what a process for each costs."""

from __future__ import annotations

import urllib.request

import msgspec

from benchmarks.closed_loop import send_closed_loop
from benchmarks.endpoint import MESSAGE_PATH, Endpoint
from benchmarks.result import Measurement, Outcome, Table
from benchmarks.run import Run
from benchmarks.systems import actor_per_conversation, stubs

__all__ = ["MEASUREMENTS"]

ACTORS = 32
QUICK_ACTORS = 8


class Cost(msgspec.Struct):
    """What one actor costs."""

    start_ms: float
    bytes: int


def measure_actors(run: Run) -> Outcome:
    """Make as many as start in reasonable time, and send messages to all of them."""
    number = QUICK_ACTORS if run.quick else ACTORS
    system = actor_per_conversation(number)
    with stubs(run) as both, system.start(run, both) as endpoint:
        found = send_closed_loop(
            endpoint,
            number,
            run.seconds,
            warm_up_seconds=run.warm_up_seconds,
            conversations=number,
        )
        cost = _cost(endpoint)
    rows = [
        ("time to start one, ms", cost.start_ms),
        ("memory of its own, MiB", cost.bytes / 2**20),
        (f"requests a second, {number} in flight", found.per_second),
    ]
    note = (
        "Memory that it shares with the others (the interpreter's and Ray's code) is not counted. "
        "Each has connections of its own to the database, the AI and the platform."
    )
    title = f"A Ray actor for each conversation ({number} of them)"
    return Outcome(tables=[Table(title, ("", "measured"), rows, note)])


def _cost(endpoint: Endpoint) -> Cost:
    url = endpoint.url.removesuffix(MESSAGE_PATH) + "/health"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own baseline
        return msgspec.json.decode(answer.read(), type=Cost)


MEASUREMENTS = (Measurement("actors", "a Ray actor for each conversation", measure_actors),)
