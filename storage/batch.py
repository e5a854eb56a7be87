"""Coalescing: what many callers ask for at the same time is done once, together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from storage.pace import Pace

__all__ = ["Batcher", "QueueFull"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class QueueFull(Exception):
    """Too many items wait already; none of these was taken."""


class _Submission(Generic[Item, Answer]):
    """The items of one caller, and the answers that have come so far."""

    def __init__(
        self, items: Sequence[Item], weights: list[int], done: asyncio.Future[list[Answer]]
    ) -> None:
        self.items = items
        self.weights = weights
        self.answers: list[Answer] = []
        self.taken = 0
        self.done = done

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def add(self, answers: list[Answer]) -> None:
        self.answers += answers
        if len(self.answers) == len(self.items) and not self.done.done():
            self.done.set_result(self.answers)


class Batcher(Generic[Item, Answer]):
    """Hands items to ``flush`` in batches, in order, ``max_under_way`` batches at a time.

    While these are being flushed the next one fills; there is no other delay, except where ``pace``
    holds a batch back that is not full. ``flush`` returns one answer an item, in order. If it
    raises, all callers with an item in the batch get the exception. At most ``max_queued`` items
    wait (``QueueFull`` beyond).

    Where items differ much in size, ``weigh`` says how heavy one is: a batch of more than one item
    weighs at most ``max_weight``, and what waits at most ``max_queued_weight``.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[list[Answer]]],
        *,
        max_batch: int,
        max_queued: int,
        max_under_way: int = 1,
        pace: Pace | None = None,
        weigh: Callable[[Item], int] | None = None,
        max_weight: int = 0,
        max_queued_weight: int = 0,
    ) -> None:
        self._flush = flush
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._max_under_way = max_under_way
        self._pace = pace
        self._weigh = weigh
        self._max_weight = max_weight
        self._max_queued_weight = max_queued_weight
        self._queued_weight = 0
        self._queue: deque[_Submission[Item, Answer]] = deque()
        self._queued = 0
        self._released = asyncio.Event()
        self._workers: set[asyncio.Task[None]] = set()
        self._is_collecting = False
        """Whether one of the workers is about to take what is queued."""

    @property
    def queued(self) -> int:
        """How many items wait for a batch."""
        return self._queued

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait is waiting."""
        is_heavy = self._weigh is not None and self._queued_weight * 2 >= self._max_queued_weight
        return is_heavy or self._queued * 2 >= self._max_queued

    async def submit(self, items: Sequence[Item]) -> list[Answer]:
        """Have ``items`` flushed and return their answers. Raises ``QueueFull``."""
        return await self.put(items) if items else []

    def put(
        self, items: Sequence[Item], *, is_urgent: bool = False
    ) -> asyncio.Future[list[Answer]]:
        """Have ``items``, at least one, flushed; the future gets their answers.

        Urgent ones, and all that is queued with them, are not held back. Raises ``QueueFull``.
        """
        if self._queued + len(items) > self._max_queued:
            raise QueueFull(f"{self._queued} items are waiting")
        weights = [self._weigh(item) for item in items] if self._weigh is not None else []
        weight = sum(weights)
        if self._queued and self._queued_weight + weight > self._max_queued_weight:
            raise QueueFull(f"{self._queued} heavy items are waiting")
        submission: _Submission[Item, Answer] = _Submission(
            items, weights, asyncio.get_running_loop().create_future()
        )
        self._queue.append(submission)
        self._queued += len(items)
        self._queued_weight += weight
        if is_urgent or self._queued >= self._max_batch:
            self._released.set()
        self._collect()
        return submission.done

    async def drain(self) -> None:
        """Wait until nothing is queued or being flushed."""
        self._collect()
        while self._workers:
            await asyncio.wait(self._workers)

    def _collect(self) -> None:
        """Have what is queued taken, unless it will be, or enough batches are under way."""
        has_room = len(self._workers) < self._max_under_way
        if not self._queue or self._is_collecting or not has_room:
            return
        self._is_collecting = True
        worker = asyncio.create_task(self._work())
        self._workers.add(worker)

    async def _work(self) -> None:
        try:
            while True:
                if self._pace is not None:
                    await self._pace.wait(self._released)
                shares, batch = self._take()
                self._is_collecting = False
                self._collect()
                await self._flush_batch(shares, batch)
                if not self._queue or self._is_collecting:
                    return
                self._is_collecting = True
        except BaseException:  # it was cancelled, say: nobody may wait for ever
            self._is_collecting = False
            while self._queue:
                self._queue.popleft().fail(asyncio.CancelledError())
            self._queued = 0
            self._queued_weight = 0
            raise
        finally:
            worker = asyncio.current_task()
            if worker is not None:
                self._workers.discard(worker)

    async def _flush_batch(
        self, shares: list[tuple[_Submission[Item, Answer], int]], batch: list[Item]
    ) -> None:
        try:
            answers = await self._flush(batch)
        except BaseException as error:
            for submission, _ in shares:
                submission.fail(error)
            if not isinstance(error, Exception):
                raise
            return
        answers_left = iter(answers)
        for submission, size in shares:
            submission.add(list(islice(answers_left, size)))

    def _take(self) -> tuple[list[tuple[_Submission[Item, Answer], int]], list[Item]]:
        """Take the oldest items: whose they are (and how many each), and the items."""
        shares: list[tuple[_Submission[Item, Answer], int]] = []
        batch: list[Item] = []
        weight = 0
        while self._queue and len(batch) < self._max_batch:
            submission = self._queue[0]
            start = submission.taken
            end = min(start + self._max_batch - len(batch), len(submission.items))
            if submission.weights:
                end, weight = self._bearable(submission.weights, start, end, weight)
            if end == start:
                break
            submission.taken = end
            batch += submission.items[start:end]
            shares.append((submission, end - start))
            if end < len(submission.items):
                break
            self._queue.popleft()
        self._queued -= len(batch)
        self._queued_weight -= weight
        if self._queued < self._max_batch:
            self._released.clear()
        return shares, batch

    def _bearable(self, weights: list[int], start: int, end: int, weight: int) -> tuple[int, int]:
        """Return where a batch that weighs so much already has to end, and its weight then."""
        for place in range(start, end):
            heavier = weight + weights[place]
            if weight and heavier > self._max_weight:
                return place, weight
            weight = heavier
        return end, weight
