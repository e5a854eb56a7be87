"""A conversation in the memory of a host, with what is under way for it."""

from __future__ import annotations

import asyncio

from actors.conversation import Conversation

__all__ = ["Seat"]

MAX_JOBS = 32
"""Jobs whose time elsewhere is remembered; more are not under way at a time."""
MAX_CALLERS = 1_000
"""Callers remembered for one conversation; a further one learns its outcome from the database."""


class Seat:
    """A conversation, who waits for its messages, and the tasks that work for it."""

    __slots__ = (
        "ai_task",
        "callers",
        "conversation",
        "elsewhere_seconds",
        "held_start",
        "hops",
        "last_message_id",
        "last_message_timestamp",
        "release",
        "tasks",
        "timer",
        "timer_at",
        "turn_began_at",
        "write_order",
    )

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.callers: dict[str, dict[str, bool]] = {}
        """By message: the ingresses that wait, and whether they wait for its start too."""
        self.elsewhere_seconds: dict[str, float] = {}
        """By job: how long the AI and the platform took. See ``spend_elsewhere``."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.ai_task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timer_at = 0.0
        self.write_order: asyncio.Task[None] | None = None
        """The latest task that marks a turn's start; what follows in the database waits for it."""
        self.held_start: asyncio.Future[bool] | None = None
        """Ends the waiting of such a task, and says whether what it is about to write is needed."""
        self.turn_began_at = 0.0
        self.release: asyncio.Task[None] | None = None
        """Gives the lease back; the next host is told when that is done."""
        self.hops = 0
        """How many hosts what came last was handed on by."""
        self.last_message_id: str | None = None
        self.last_message_timestamp: float | None = None

    @property
    def conversation_id(self) -> str:
        """Id of the conversation."""
        return self.conversation.conversation_id

    def add_caller(self, message_id: str, ingress_id: str, *, hears_start: bool) -> None:
        """Remember that an ingress waits for word of a message."""
        if message_id in self.callers or len(self.callers) < MAX_CALLERS:
            callers = self.callers.setdefault(message_id, {})
            callers[ingress_id] = hears_start or callers.get(ingress_id, False)

    def spend_elsewhere(self, job_id: str, seconds: float) -> None:
        """Note time of a job that was not ours."""
        spent = self.elsewhere_seconds
        if len(spent) >= MAX_JOBS and job_id not in spent:
            del spent[next(iter(spent))]
        spent[job_id] = spent.get(job_id, 0.0) + seconds

    async def hold(self, seconds: float) -> bool:
        """Wait for ``end_holding``; True when the time is over before."""
        loop = asyncio.get_running_loop()
        held = self.held_start = loop.create_future()
        timer = loop.call_later(seconds, self.end_holding, True)
        try:
            return bool(await held)
        finally:
            timer.cancel()
            if self.held_start is held:
                self.held_start = None

    def end_holding(self, is_needed: bool) -> bool:
        """Let go on what is held; return whether anything was."""
        held = self.held_start
        if held is None or held.done():
            return False
        held.set_result(is_needed)
        return True

    def stop(self) -> None:
        """Cancel all that is under way."""
        if self.timer is not None:
            self.timer.cancel()
        for task in tuple(self.tasks):
            task.cancel()
