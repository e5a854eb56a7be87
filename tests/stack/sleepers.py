"""Hosts that are stopped at the wrong moment, and wake when others have taken over."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from tests.stack.ask import asked_ai, message
from tests.stack.fault_points.control import FaultPoints
from tests.stack.stubs import Stubs
from tests.stack.traffic import Traffic

__all__ = ["sleep_during", "stopped_at", "woken_before_its_commit"]

Sending = asyncio.Task[dict[str, Any]]


async def stopped_at(
    point: str, traffic: Traffic, points: FaultPoints, conversation_id: str
) -> tuple[psutil.Process, Sending]:
    """Say something to a host that stops at a point; return the host, and the sending."""
    armed = points.arm(point, signal.SIGSTOP, conversation_id)
    sending = asyncio.create_task(traffic.send(message(conversation_id)))
    return await armed.stopped(), sending


async def woken_before_its_commit(
    traffic: Traffic, stubs: Stubs, points: FaultPoints, conversation_id: str
) -> tuple[Callable[[], None], Sending]:
    """Stop a host before its commit and wake it when another is at work.

    Returns when what it had still to commit has been to the database: how the other one may finish,
    and the sending, which ends then.
    """
    sleeper, sending = await stopped_at("turn.before_commit", traffic, points, conversation_id)
    finish = stubs.hold(conversation_id)
    await asked_ai(stubs, conversation_id, 2)  # its successor is at work
    noted = points.arm("writer.after_commit_turn", signal.SIGCONT, conversation_id)
    sleeper.resume()
    await noted.hit()
    return finish, sending


async def sleep_during(
    sleeper: psutil.Process, sending: asyncio.Task[None], at_least_seconds: float
) -> float:
    """Stop a host until all is sent, and for so long at least; return how long the sending took."""
    sleeper.suspend()
    paused_at = time.monotonic()
    try:
        await sending
        waited = time.monotonic() - paused_at
        await asyncio.sleep(max(0.0, at_least_seconds - waited))
    finally:
        sleeper.resume()
    return waited
