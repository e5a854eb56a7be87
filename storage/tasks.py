"""Background tasks: keeping them running, ending them, and what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

__all__ = ["end_task", "keep_running", "wait_at_most", "within"]

CANCEL_AGAIN_SECONDS = 0.5
RESTART_SECONDS = 1.0

Value = TypeVar("Value")

log = structlog.get_logger()


async def keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, and begin again whenever it fails: what is meant to go on must not end unseen.

    It ends when ``work`` ends without an exception, or is cancelled.
    """
    while True:
        try:
            await work()
        except Exception:  # a bug, or a peer of another release: it is logged, and tried again
            log.exception("task_failed", task=name)
            await asyncio.sleep(RESTART_SECONDS)
        else:
            return


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, however it does.

    A cancellation can get lost: until Python 3.12 ``asyncio.wait_for``, which the Redis client
    uses for each command, swallows one that comes as its command ends. So it is asked again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event; return whether it came in time (None: there is no limit)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def within(future: asyncio.Future[Value], seconds: float | None) -> Value:
    """Wait for a future (None: there is no limit).

    Raises ``TimeoutError`` when it takes longer, and so does the future then.
    For what every message waits for: it takes a fifth of the time of ``asyncio.timeout``, which
    can do the same with any coroutine.
    """
    if seconds is None:
        return await future
    timer = future.get_loop().call_later(seconds, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
