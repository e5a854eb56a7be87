"""What is meant to go on goes on."""

from __future__ import annotations

import asyncio

import pytest

from storage import tasks
from storage.tasks import end_task, keep_running, wait_at_most, within


async def test_work_that_fails_is_begun_again_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "RESTART_SECONDS", 0.0)
    failures = [ValueError("a report that cannot be read"), KeyError("host")]

    async def work() -> None:
        if failures:
            raise failures.pop()

    await keep_running("work", work)
    assert not failures


async def test_kept_work_can_be_ended() -> None:
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("work", work))
    await began.wait()
    await end_task(task)
    assert task.cancelled()


async def test_an_event_is_waited_for_and_not_longer() -> None:
    event = asyncio.Event()
    assert not await wait_at_most(event, 0.01)
    waiting = asyncio.create_task(wait_at_most(event, None))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    assert await waiting
    assert await wait_at_most(event, 0.01)


async def test_a_future_is_waited_for_and_not_longer() -> None:
    loop = asyncio.get_running_loop()
    late: asyncio.Future[str] = loop.create_future()
    with pytest.raises(TimeoutError):
        await within(late, 0.01)
    assert late.done()
    early: asyncio.Future[str] = loop.create_future()
    loop.call_soon(early.set_result, "early")
    assert await within(early, 60) == "early"
    dropped: asyncio.Future[str] = loop.create_future()
    waiting = asyncio.create_task(within(dropped, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert dropped.cancelled()
