"""Ending background tasks."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["end_task"]

CANCEL_AGAIN_SECONDS = 0.5


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, however it does.

    A cancellation can get lost: until Python 3.12 ``asyncio.wait_for``, which the Redis client
    uses for each command, swallows one that comes as its command ends. So it is asked again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)
