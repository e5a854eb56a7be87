"""Random schedules of everything that can happen to a conversation, in a simulated world."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from actors.conversation import BusyPolicy, Limits, Policy
from actors.conversation import events as e
from tests.unit.conversation.world import Request, World

HOSTS = st.sampled_from(["host-0", "host-0", "host-0", "host-1"])
NUMBERS = st.integers(0, 30)
MISHAPS = [
    *("crash", "drain", "reset", "pause"),
    *("redis empty", "redis away", "redis back", "answer lost", "deaths"),
]
MESSAGES = st.sampled_from([f"m{number}" for number in range(8)])
CHOICES = st.sampled_from(
    ["well", "well", "well", "fail", "dead", "silent", "transfer", "end", "unknown", "unreachable"]
)
POLICIES = st.builds(
    Policy,
    enabled=st.sampled_from([True, True, True, False]),
    busy_policy=st.sampled_from(BusyPolicy),
    debounce_seconds=st.sampled_from([0.0, 0.0, 2.0]),
    debounce_max_seconds=st.sampled_from([0.0, 5.0]),
    fallback_message=st.sampled_from([None, "sorry"]),
    yield_to_agent=st.booleans(),
    silent_after_transfer=st.booleans(),
    handoff_timeout_seconds=st.sampled_from([0.0, 20.0]),
)
ROOMY = Limits()
TIGHT = Limits(
    turn_messages=2,
    turn_characters=12,
    waiting_messages=3,
    undelivered_jobs=2,
    restarts=1,
    context_messages=3,
    remembered_messages=4,
    remembered_calls=2,
)


class Schedule(RuleBasedStateMachine):
    """Two hosts, one conversation, and everything that can go wrong."""

    world: World
    count = 0

    @initialize(first=POLICIES, second=POLICIES, limits=st.sampled_from([ROOMY, TIGHT]))
    def begin(self, first: Policy, second: Policy, limits: Limits) -> None:
        policies = [deepcopy(first), Policy(**{**_fields(second), "bot_id": "other"})]
        self.world = World(policies, limits)
        self.world.checks_callers = limits is ROOMY

    def _request(self, number: int) -> Request | None:
        requests = self.world.requests
        return requests[number % len(requests)] if requests else None

    @rule(
        message_id=MESSAGES,
        host=st.sampled_from(["host-0", "host-0", "host-0", "host-1", None]),
        sender=st.sampled_from(["user", "user", "user", "user", "agent", "system"]),
        content=st.sampled_from(["hello", "hello", "hello", ""]),
        bot=st.sampled_from([0, 0, 0, 1]),
    )
    def submit(
        self, message_id: str, host: str | None, sender: str, content: str, bot: int
    ) -> None:
        self.world.submit(message_id, host, sender_type=sender, content=content, bot=bot)

    @rule(message_id=MESSAGES, host=HOSTS, epochs_ago=st.integers(0, 2))
    def repeat(self, message_id: str, host: str, epochs_ago: int) -> None:
        if message_id in self.world.database.rows:
            epoch = max(0, self.world.database.epoch - epochs_ago)
            self.world.repeat(message_id, host, epoch)

    @rule(
        count=st.integers(2, 5),
        host=HOSTS,
        bot=st.sampled_from([0, 0, 1]),
        lost=st.sampled_from([None, None, 0, 1]),
    )
    def burst(self, count: int, host: str, bot: int, lost: int | None) -> None:
        for number in range(count):
            self.count += 1
            self.world.submit(f"b{self.count}", None if number == lost else host, bot=bot)

    @rule(number=NUMBERS, choice=CHOICES)
    def perform(self, number: int, choice: str) -> None:
        request = self._request(number)
        if request is not None:
            self.world.perform(request, choice)

    @rule(numbers=st.lists(NUMBERS, min_size=3, max_size=12))
    def perform_some(self, numbers: list[int]) -> None:
        for number in numbers:
            self.perform(number, "well")

    @rule(count=st.integers(1, 12))
    def perform_oldest(self, count: int) -> None:
        for _ in range(count):
            self.perform(0, "well")

    @rule(host=HOSTS, seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0, 12.0]))
    def pass_time(self, host: str, seconds: float) -> None:
        self.world.advance(seconds)
        self.world.tick(host)

    @rule(host=HOSTS, kind=st.sampled_from(["tick", "renew", "renew", "sweep"]))
    def keep_house(self, host: str, kind: str) -> None:
        {"tick": self.world.tick, "renew": self.world.renew, "sweep": self.world.sweep}[kind](host)

    @rule(number=NUMBERS)
    def cancel_job(self, number: int) -> None:
        jobs = list(self.world.database.jobs)
        if jobs:
            self.world.cancel_job(jobs[number % len(jobs)])

    @rule(number=NUMBERS, is_heard=st.booleans())
    def retry(self, number: int, is_heard: bool) -> None:
        jobs = self.world.database.jobs
        dead = [it for it in jobs if jobs[it].outcome == "failed" or jobs[it].delivery == "dead"]
        if dead:
            self.world.retry(dead[number % len(dead)], is_heard=is_heard)

    @rule(number=NUMBERS, host=HOSTS, kind=st.sampled_from(MISHAPS))
    def mishap(self, number: int, host: str, kind: str) -> None:
        world, request = self.world, self._request(number)
        match kind:
            case "crash":
                world.crash(host)
            case "deaths":
                self._die_often(host, number)
            case "drain" if world.seats[host] is not None:
                world.give(host, e.Released())
            case "reset":
                world.reset()
            case "redis empty":
                world.flush_redis()
            case "redis away" | "redis back":
                world.has_redis = kind == "redis back"
            case "pause":
                world.advance(40.0)
            case "answer lost" if request is not None and request.is_write:
                world.lose_answer(request)
            case _:
                pass

    def _die_often(self, host: str, number: int) -> None:
        """One owner after the other dies, each of them somewhere in its work."""
        for _ in range(number % 9):
            self.world.crash(host)
            self.world.advance(35.0)
            self.world.sweep(host)
            for _ in range(number % 7):
                self.perform(len(self.world.requests) - 1, "well")
                self.pass_time(host, 1.0)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.check_end()


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in Policy.__dataclass_fields__}


Schedule.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSchedule = pytest.mark.timeout(300)(Schedule.TestCase)
