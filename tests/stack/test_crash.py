"""Processes of the product die in the middle of turns; what was accepted is answered, once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.history import History
from tests.stack.processes import (
    actor_processes,
    busiest_host,
    kill_actor,
    process_tree,
    still_running,
)
from tests.stack.server import Server, wait_for
from tests.stack.sleepers import sleep_during
from tests.stack.stubs import Stubs
from tests.stack.traffic import (
    AI_SECONDS,
    CONVERSATIONS,
    conversations_for,
    in_the_middle,
    open_traffic,
)

pytestmark = pytest.mark.timeout(240)

RESTART_SECONDS = 10.0
"""In which Ray has an actor running again, on a machine that has much to do."""


def taken_over_after(stubs: Stubs, ids: list[str], killed_at: float) -> list[float]:
    """Return, for each conversation whose turn was cut off, when the AI was asked again."""
    seconds = []
    for conversation_id in ids:
        calls = stubs.ai_calls(conversation_id)
        if any(it.was_cut_off for it in calls):
            seconds.append(min(it.started_at for it in calls if it.started_at > killed_at))
    return sorted(moment - killed_at for moment in seconds)


async def test_a_killed_hosts_turns_are_done_by_its_successor(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "host")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
        busiest_host(victim, stubs.url).kill()
        killed_at = time.monotonic()
        await sending

        await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
        assert len(traffic.bodies) == 2 * CONVERSATIONS
        taken_over = taken_over_after(stubs, ids, killed_at)
        assert taken_over, "the killed host had no turns"
        print(f"host: {len(taken_over)} turns taken over after {taken_over[0]:.1f} s", end=" to ")
        print(f"{taken_over[-1]:.1f} s; longest wait of a caller {max(traffic.waits):.1f} s")
        assert taken_over[-1] < LEASE_SECONDS + RESTART_SECONDS
        assert not traffic.refusals
        assert not traffic.broken
        assert "processing" not in traffic.statuses()


async def test_a_killed_hosts_answers_are_delivered_by_its_successor_under_their_keys(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "outbox")
    for conversation_id in ids:
        stubs.delay(conversation_id, 0.01)
        stubs.plan_platform(conversation_id, 503, 503, 503)
    async with open_traffic(victim.url) as traffic:
        await traffic.send_all([message(it) for it in ids])
    results = [results[0] for results in traffic.results.values()]
    assert {it["pancake_result"]["status"] for it in results} == {"pending"}
    kill_actor(victim, "ConversationHost")
    killed_at = time.monotonic()

    history = await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
    assert {it["delivery_status"] for jobs in history.jobs.values() for it in jobs} == {"sent"}
    print(f"outbox: all delivered {time.monotonic() - killed_at:.1f} s after the host was killed")


async def test_a_killed_writer_costs_nobody_a_message(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "writer")
    async with open_traffic(victim.url, concurrency=40) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        kill_actor(victim, "StorageWriter")
        await traffic.send_all([message(it, "while it is away") for it in ids])
        await sending

        await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
        assert len(traffic.bodies) == 3 * CONVERSATIONS
        print(f"writer: {len(traffic.refusals)} refused, then taken", end="; ")
        print(f"longest wait of a caller {max(traffic.waits):.1f} s")
        assert max(traffic.waits) < RESTART_SECONDS + 3 * AI_SECONDS + LEASE_SECONDS


async def test_a_killed_supervisor_is_not_missed(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "supervisor")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        before = kill_actor(victim, "Supervisor")
        await traffic.send_all([message(it, "while it is away") for it in ids])
        await sending
        assert not traffic.refusals
        assert max(traffic.waits) < 10 * AI_SECONDS

        async def is_back() -> bool:
            return any(it.pid != before.pid for it in actor_processes(victim, "Supervisor"))

        await wait_for(is_back, 20, "the supervisor runs again")
        await traffic.check_history(postgres, stubs, ids, is_undisturbed=True)


async def test_supervisor_and_host_may_die_at_the_same_moment(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "both")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids, more_seconds=2.5)
        kill_actor(victim, "Supervisor")
        busiest_host(victim, stubs.url).kill()
        killed_at = time.monotonic()
        await sending

        await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
        taken_over = taken_over_after(stubs, ids, killed_at)
        print(f"supervisor and host: taken over after up to {taken_over[-1]:.1f} s", end="; ")
        print(f"longest wait of a caller {max(traffic.waits):.1f} s")
        assert taken_over[-1] < LEASE_SECONDS + RESTART_SECONDS


async def test_a_host_that_wakes_after_its_leases_lapsed_does_nothing_for_its_successors(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "paused")
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        sleeper = busiest_host(victim, stubs.url)
        waited = await sleep_during(sleeper, sending, 2 * LEASE_SECONDS)
        await traffic.send_all([message(it, "good morning") for it in ids])
        await traffic.check_history(postgres, stubs, ids, is_undisturbed=False)
        print(f"paused host: longest wait of a caller {max(traffic.waits):.1f} s")
        assert waited < LEASE_SECONDS + RESTART_SECONDS
        assert not traffic.refusals


async def test_nothing_is_lost_while_everything_dies_again_and_again(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "again")
    async with open_traffic(victim.url, concurrency=60) as traffic:
        bodies = [message(it, f"text {number}") for number in range(12) for it in ids]
        sending = asyncio.create_task(traffic.send_all(bodies))
        kills = 0
        while not sending.done() and kills < 6:
            for kind in ("ConversationHost", "StorageWriter", "Supervisor"):
                if actor_processes(victim, kind):
                    kill_actor(victim, kind)
                    kills += 1
                await asyncio.sleep(1.0)
        await sending
        await traffic.check_history(postgres, stubs, ids, timeout_seconds=60, is_undisturbed=False)
        print(f"{kills} kills: longest wait of a caller {max(traffic.waits):.1f} s", end="; ")
        print(f"{len(traffic.refusals)} refused, then taken; answers {traffic.statuses()}")
        assert kills >= 3
        assert len(traffic.bodies) == len(bodies)


async def test_after_a_power_cut_the_next_start_answers_what_was_accepted(
    victim: Server, stubs: Stubs, postgres: PostgresServer
) -> None:
    ids = conversations_for(stubs, "power")
    for conversation_id in ids:
        stubs.delay(conversation_id, 5 * AI_SECONDS)
    async with open_traffic(victim.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        assert victim.process is not None
        # Ray's agents try for a minute to report the death of the others; they hold nothing.
        tree = [it for it in process_tree(victim) if "Agent" not in it.name()]
        os.kill(victim.process.pid, signal.SIGKILL)
        victim.process.wait()
        left = await asyncio.to_thread(still_running, tree, 20)
        assert not left, "the killed start left processes"

        before = History.pending(await History.read(postgres.url, stubs, ids))
        assert before, "nothing was under way"
        for conversation_id in ids:
            stubs.delay(conversation_id, AI_SECONDS)
        await asyncio.to_thread(victim.start)
        started_at = time.monotonic()
        await sending
        history = await History.when_over(postgres.url, stubs, ids)
        print(f"power cut: {len(before)} jobs and messages pending, done", end=" ")
        print(f"{time.monotonic() - started_at:.1f} s after the next start took requests")

    history.check(traffic.bodies, is_undisturbed=False, requests=traffic.requests)
    assert len(traffic.bodies) == 2 * CONVERSATIONS
    assert psutil.pid_exists(victim.process.pid)
