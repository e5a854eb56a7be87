"""Sequences cut at any point: what was committed is enough to go on from."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.conversation import BusyPolicy, Limits, Policy
from tests.unit.conversation.world import World

CUTS = range(0, 60, 3)


def _conversation_of_six(world: World, after: int, at: int | None) -> None:
    """Six messages, two of them while the first turn runs; a crash after ``at`` steps."""
    steps = 0
    for number in range(6):
        world.submit(f"m{number}", "host-0")
        for _ in range(after):
            if not world.requests:
                break
            world.perform(world.requests[0])
            steps += 1
            if steps == at:
                world.crash("host-0")


@pytest.mark.parametrize("policy", [BusyPolicy.MERGE, BusyPolicy.QUEUE, BusyPolicy.RESTART])
@pytest.mark.parametrize("cut", CUTS)
def test_a_crash_at_any_point_leads_to_the_same_decided_messages(
    policy: BusyPolicy, cut: int
) -> None:
    world = World([Policy(busy_policy=policy)], Limits())
    _conversation_of_six(world, after=9, at=cut)
    world.settle("host-1")
    world.check_end()
    assert set(world.database.answered) == {f"m{number}" for number in range(6)}


@given(seed=st.integers(0, 10_000), policy=st.sampled_from(BusyPolicy))
@settings(max_examples=100, deadline=None)
def test_replaying_after_many_crashes_decides_what_an_undisturbed_run_decides(
    seed: int, policy: BusyPolicy
) -> None:
    chance = random.Random(seed)
    world = World([Policy(busy_policy=policy)], Limits())
    for number in range(6):
        world.submit(f"m{number}", "host-0")
        for _ in range(chance.randrange(12)):
            if world.requests:
                world.perform(chance.choice(world.requests))
        if chance.random() < 0.5:
            world.crash("host-0")
    world.settle("host-1")
    world.check_end()
    rejected = {
        job.message_ids[0] for job in world.database.jobs.values() if job.status == "rejected"
    }
    assert set(world.database.answered) | rejected == {f"m{number}" for number in range(6)}
    assert not set(world.database.answered) & rejected
    assert policy is BusyPolicy.REJECT or not rejected


@given(seed=st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_messages_are_answered_in_order_of_acceptance_under_any_delays(seed: int) -> None:
    chance = random.Random(seed)
    world = World(
        [Policy(busy_policy=chance.choice([BusyPolicy.MERGE, BusyPolicy.QUEUE]))], Limits()
    )
    for number in range(8):
        world.submit(f"m{number}", "host-0")
        for _ in range(chance.randrange(8)):
            if world.requests:
                world.perform(chance.choice(world.requests))
    world.settle()
    world.check_end()
    order = [
        message_id
        for job_id in world.database.commits
        for message_id in world.database.jobs[job_id].message_ids
    ]
    assert order == [f"m{number}" for number in range(8)]
