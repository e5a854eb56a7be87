"""How long batches are held back."""

from __future__ import annotations

import asyncio
import time

import pytest

from storage.batch import Batcher
from storage.pace import LITTLE, Pace, never_busy


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one moment that the clock shows."""
    moment = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    return moment


def test_the_first_batch_goes_at_once(now: list[float]) -> None:
    assert Pace(lambda: 1.0, longest_seconds=0.03).remaining_seconds() == 0


def test_while_much_is_under_way_batches_start_the_longest_time_apart(now: list[float]) -> None:
    pace = Pace(lambda: 5.0, longest_seconds=0.03)
    pace.note_start()
    assert pace.remaining_seconds() == pytest.approx(0.03)
    now[0] += 0.02
    assert pace.remaining_seconds() == pytest.approx(0.01)
    now[0] += 0.02
    assert pace.remaining_seconds() == 0


def test_while_less_is_under_way_they_wait_in_proportion(now: list[float]) -> None:
    pace = Pace(lambda: 0.5, longest_seconds=0.03)
    pace.note_start()
    assert pace.remaining_seconds() == pytest.approx(0.015)


def test_while_nothing_is_under_way_they_do_not_wait(now: list[float]) -> None:
    pace = Pace(never_busy)
    pace.note_start()
    assert pace.remaining_seconds() == 0


def test_while_little_is_under_way_they_do_not_wait_either(now: list[float]) -> None:
    pace = Pace(lambda: LITTLE, longest_seconds=0.03)
    pace.note_start()
    assert pace.remaining_seconds() == 0


def test_some_are_never_closer_than_a_shortest_time(now: list[float]) -> None:
    busyness = 0.0
    pace = Pace(lambda: busyness, longest_seconds=1.0, shortest_seconds=0.25)
    assert pace.remaining_seconds() == 0
    pace.note_start()
    assert pace.remaining_seconds() == pytest.approx(0.25)
    busyness = 0.8
    assert pace.remaining_seconds() == pytest.approx(0.8)


async def test_a_full_batch_is_not_held_back() -> None:
    batches: list[list[int]] = []

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        return batch

    slow = Pace(lambda: 1.0, longest_seconds=3600)
    batcher = Batcher(flush, max_batch=3, max_queued=10, pace=slow)
    await batcher.submit([1])
    held = [asyncio.create_task(batcher.submit([number])) for number in (2, 3)]
    await asyncio.sleep(0)
    assert batches == [[1]]
    await batcher.submit([4])
    await asyncio.gather(*held)
    assert batches == [[1], [2, 3, 4]]


async def test_what_is_urgent_takes_what_was_held_back_with_it() -> None:
    batches: list[list[int]] = []

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        return batch

    slow = Pace(lambda: 1.0, longest_seconds=3600)
    batcher = Batcher(flush, max_batch=10, max_queued=10, pace=slow)
    await batcher.submit([1])
    held = asyncio.create_task(batcher.submit([2]))
    await asyncio.sleep(0)
    await batcher.put([3], is_urgent=True)
    await held
    assert batches == [[1], [2, 3]]
