"""Random schedules of everything that can happen to a conversation, in a simulated world."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from actors.conversation import BusyPolicy, Limits, Policy
from actors.conversation import events as e
from tests.unit.conversation.world import Request, World

HOSTS = st.sampled_from(["host-0", "host-1"])
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

    @rule(number=st.integers(0, 30), choice=CHOICES)
    def perform(self, number: int, choice: str) -> None:
        request = self._request(number)
        if request is not None:
            self.world.perform(request, choice)

    @rule(count=st.integers(1, 12))
    def perform_oldest(self, count: int) -> None:
        for _ in range(count):
            if self.world.requests:
                self.world.perform(self.world.requests[0])

    @rule(number=st.integers(0, 30))
    def lose_answer(self, number: int) -> None:
        request = self._request(number)
        if request is not None and request.event is None and hasattr(request.effect, "epoch"):
            self.world.lose_answer(request)

    @rule(host=HOSTS, seconds=st.sampled_from([0.5, 1.0, 2.0, 6.0, 25.0, 40.0, 61.0]))
    def pass_time(self, host: str, seconds: float) -> None:
        self.world.advance(seconds)
        self.world.tick(host)

    @rule(host=HOSTS)
    def tick(self, host: str) -> None:
        self.world.tick(host)

    @rule(host=HOSTS)
    def renew(self, host: str) -> None:
        self.world.renew(host)

    @rule(host=HOSTS)
    def sweep(self, host: str) -> None:
        self.world.sweep(host)

    @rule(host=HOSTS)
    def crash(self, host: str) -> None:
        self.world.crash(host)

    @rule(host=HOSTS)
    def drain(self, host: str) -> None:
        if self.world.seats[host] is not None:
            self.world.give(host, e.Released())

    @rule(number=st.integers(0, 30))
    def cancel_job(self, number: int) -> None:
        jobs = list(self.world.database.jobs)
        if jobs:
            self.world.cancel_job(jobs[number % len(jobs)])

    @rule()
    def reset(self) -> None:
        self.world.reset()

    @rule()
    def flush_redis(self) -> None:
        self.world.flush_redis()

    @rule(is_there=st.booleans())
    def toggle_redis(self, is_there: bool) -> None:
        self.world.has_redis = is_there

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.check_end()


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in Policy.__dataclass_fields__}


Schedule.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSchedule = Schedule.TestCase
