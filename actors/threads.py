"""Calls that block, in threads that nobody has to wait for at the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_thread"]

Result = TypeVar("Result")


def in_thread(function: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
    """Call a function in a thread of its own; whoever starts many has to count them.

    The threads of an executor would hold up the end of the process for as long as they block.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(function(*arguments))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name=getattr(function, "__name__", "call")).start()
    waiter = asyncio.wrap_future(outcome)
    waiter.add_done_callback(_look_at)
    return waiter


def _look_at(waiter: asyncio.Future[Result]) -> None:
    """Take note of an error even if nobody waits any more."""
    if not waiter.cancelled():
        waiter.exception()
