from __future__ import annotations

import asyncio

import pytest

from storage.batch import Batcher, QueueFull


class Sink:
    """A flush that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.error: Exception | None = None

    async def flush(self, items: list[int]) -> list[str]:
        self.batches.append(items)
        self.entered.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [f"answer {item}" for item in items]


def batcher(sink: Sink, max_batch: int = 10, max_queued: int = 100) -> Batcher[int, str]:
    return Batcher(sink.flush, max_batch=max_batch, max_queued=max_queued)


async def test_what_comes_during_a_flush_shares_the_next_one() -> None:
    sink = Sink()
    subject = batcher(sink)
    first = asyncio.create_task(subject.submit([1]))
    await sink.entered.wait()
    others = [asyncio.create_task(subject.submit([number])) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    assert subject.queued == 3
    sink.gate.set()
    assert await first == ["answer 1"]
    assert await asyncio.gather(*others) == [["answer 2"], ["answer 3"], ["answer 4"]]
    assert sink.batches == [[1], [2, 3, 4]]


async def test_callers_of_the_same_moment_share_a_flush() -> None:
    sink = Sink()
    sink.gate.set()
    subject = batcher(sink)
    await asyncio.gather(*(subject.submit([number]) for number in range(5)))
    assert sink.batches == [[0, 1, 2, 3, 4]]


async def test_a_submission_may_span_batches() -> None:
    sink = Sink()
    sink.gate.set()
    subject = batcher(sink, max_batch=4)
    one, two = await asyncio.gather(subject.submit(range(6)), subject.submit(range(6, 11)))
    assert sink.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert one == [f"answer {number}" for number in range(6)]
    assert two == [f"answer {number}" for number in range(6, 11)]


async def test_too_much_at_once_is_refused_whole() -> None:
    sink = Sink()
    subject = batcher(sink, max_queued=3)
    first = asyncio.create_task(subject.submit([1, 2]))
    await sink.entered.wait()
    second = asyncio.create_task(subject.submit([3, 4]))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await subject.submit([5, 6])
    sink.gate.set()
    assert await first == ["answer 1", "answer 2"]
    assert await second == ["answer 3", "answer 4"]
    assert sink.batches == [[1, 2], [3, 4]]


async def test_a_batch_is_no_heavier_than_it_may_be_but_its_first_item_is_always_taken() -> None:
    sink = Sink()
    sink.gate.set()
    subject = Batcher(
        sink.flush,
        max_batch=3,
        max_queued=100,
        weigh=lambda item: item,
        max_weight=10,
        max_queued_weight=1_000,
    )
    one, two = await asyncio.gather(subject.submit([4, 6, 1, 20, 2]), subject.submit([8, 1, 1, 1]))
    assert sink.batches == [[4, 6], [1], [20], [2, 8], [1, 1, 1]]
    assert one == [f"answer {number}" for number in (4, 6, 1, 20, 2)]
    assert two == [f"answer {number}" for number in (8, 1, 1, 1)]


async def test_what_weighs_too_much_to_wait_is_refused() -> None:
    sink = Sink()
    subject = Batcher(
        sink.flush,
        max_batch=10,
        max_queued=100,
        weigh=lambda item: item,
        max_weight=10,
        max_queued_weight=20,
    )
    first = asyncio.create_task(subject.submit([30]))
    await sink.entered.wait()
    second = asyncio.create_task(subject.submit([15]))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await subject.submit([6])
    third = asyncio.create_task(subject.submit([5]))
    sink.gate.set()
    assert [await it for it in (first, second, third)] == [
        ["answer 30"],
        ["answer 15"],
        ["answer 5"],
    ]
    assert sink.batches == [[30], [15], [5]]


async def test_a_failed_flush_fails_its_callers_and_no_others() -> None:
    sink = Sink()
    subject = batcher(sink)
    first = asyncio.create_task(subject.submit([1]))
    await sink.entered.wait()
    sink.error = RuntimeError("broken")
    sink.gate.set()
    with pytest.raises(RuntimeError, match="broken"):
        await first
    sink.error = None
    assert await subject.submit([2]) == ["answer 2"]


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    sink = Sink()
    subject = batcher(sink)
    gone = asyncio.create_task(subject.submit([1]))
    stays = asyncio.create_task(subject.submit([2]))
    await sink.entered.wait()
    gone.cancel()
    sink.gate.set()
    assert await stays == ["answer 2"]
    await subject.drain()
    assert await subject.submit([]) == []


async def test_so_many_batches_as_allowed_are_under_way_and_the_rest_waits() -> None:
    gates = [asyncio.Event() for _ in range(4)]
    batches: list[list[int]] = []

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        await gates[len(batches) - 1].wait()
        return batch

    batcher = Batcher(flush, max_batch=10, max_queued=100, max_under_way=2)
    tasks = []
    for number in range(4):
        tasks.append(asyncio.create_task(batcher.submit([number])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert batches == [[0], [1]]
    gates[1].set()
    assert await tasks[1] == [1]
    await asyncio.sleep(0)
    assert batches == [[0], [1], [2, 3]]
    assert batcher.queued == 0
    for gate in gates:
        gate.set()
    assert await asyncio.gather(*tasks) == [[0], [1], [2], [3]]
    await batcher.drain()


async def test_what_does_not_fit_into_a_batch_goes_beside_it_where_that_is_allowed() -> None:
    gate = asyncio.Event()
    batches: list[list[int]] = []

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        await gate.wait()
        return batch

    batcher = Batcher(flush, max_batch=2, max_queued=100, max_under_way=2)
    task = asyncio.create_task(batcher.submit([1, 2, 3]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert batches == [[1, 2], [3]]
    gate.set()
    assert await task == [1, 2, 3]
