"""How long batches are held back."""

from __future__ import annotations

import asyncio

import pytest

from storage.batch import Batcher
from storage.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(longest_seconds=0.02, busy_rate=400, clock=clock)


def test_what_comes_to_an_idle_way_goes_at_once(clock: Clock, pace: Pace) -> None:
    assert pace.remaining_seconds() == 0
    pace.note(1)
    clock.now += 5
    assert pace.remaining_seconds() == 0


def test_while_much_comes_batches_start_the_longest_time_apart(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.note(20)  # 1,000 a second
        clock.now += 0.02
    pace.note(20)
    assert pace.remaining_seconds() == pytest.approx(0.02)
    clock.now += 0.015
    assert pace.remaining_seconds() == pytest.approx(0.005)


def test_while_little_comes_they_wait_in_proportion(clock: Clock, pace: Pace) -> None:
    for _ in range(200):
        pace.note(1)  # 40 a second: a tenth of a busy rate
        clock.now += 0.025
    pace.note(1)
    assert pace.remaining_seconds() == pytest.approx(0.002, rel=0.2)


def test_a_burst_is_forgotten_soon(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.note(20)
        clock.now += 0.02
    clock.now += 2
    pace.note(1)
    assert pace.remaining_seconds() < 0.001


async def test_a_full_batch_is_not_held_back() -> None:
    batches: list[list[int]] = []

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        return batch

    slow = Pace(longest_seconds=3600, busy_rate=1)
    batcher = Batcher(flush, max_batch=3, max_queued=10, pace=slow)
    await batcher.submit([1])
    await batcher.submit([2])  # at once, too, and now that is much
    held = [asyncio.create_task(batcher.submit([number])) for number in (3, 4)]
    await asyncio.sleep(0)
    assert batches == [[1], [2]]
    await batcher.submit([5])
    await asyncio.gather(*held)
    assert batches == [[1], [2], [3, 4, 5]]
