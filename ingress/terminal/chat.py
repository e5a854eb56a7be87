"""A chat with the bot: messages go out as they are typed, and what becomes of them is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ingress.terminal.chat_client import FINAL_STATUSES, ChatClient, ChatFailed, TypedMessage
from ingress.terminal.narration import Line, answer_lines, state_lines, trouble

__all__ = ["Chat"]

MAX_MESSAGES_UNDER_WAY = 100
"""More than anybody types while a turn runs; further ones wait until there is room."""


class Chat:
    """Sends what ``say`` is given, and shows by ``show`` what happens, each thing once."""

    def __init__(self, client: ChatClient, show: Callable[[Line], None]) -> None:
        self._client = client
        self._show = show
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_MESSAGES_UNDER_WAY)
        self._followed: set[str] = set()
        self._ended: set[str] = set()

    @property
    def under_way(self) -> int:
        """How many messages have no outcome yet."""
        return len(self._tasks)

    async def say(self, text: str) -> None:
        """Send a message and return at once; what becomes of it is shown when it is known."""
        await self._room.acquire()
        task = asyncio.create_task(self._carry(TypedMessage(text)))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    async def finish(self) -> None:
        """Wait until everything that was said has its outcome."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def leave(self) -> None:
        """Stop listening. What was accepted is answered all the same."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _carry(self, message: TypedMessage) -> None:
        try:
            result = await self._client.send(message)
            for line in answer_lines(result):
                self._show(line)
            for job in _told_with(result):
                self._end(job)
            for job_id in _to_follow(result):
                await self._follow(job_id)
        except ChatFailed as error:
            self._show(trouble(str(error)))

    async def _follow(self, job_id: str) -> None:
        """Show a job until it is final, and then the one that took its place, if one did."""
        following: str | None = job_id
        while following and following not in self._followed and following not in self._ended:
            current, following = following, None
            self._followed.add(current)
            async for job in self._client.follow(current):
                if job["status"] in FINAL_STATUSES:
                    self._end(job)
                    following = job.get("superseded_by")
                else:
                    self._show_state(job)

    def _end(self, job: dict[str, Any]) -> None:
        """Show an outcome, unless it has been: a turn's callers are all told it."""
        if job["job_id"] in self._ended:
            return
        self._ended.add(job["job_id"])
        self._show_state(job)

    def _show_state(self, job: dict[str, Any]) -> None:
        for line in state_lines(job):
            self._show(line)


def _told_with(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the finished job that an answer brings with it, as ``GET`` shows jobs."""
    status = result["status"]
    if status in ("completed", "failed"):
        return [{**result, "result": result}]
    if status == "restart_needed" and result.get("current_result") is not None:
        return [{**result, "status": "completed", "result": result["current_result"]}]
    return []


def _to_follow(result: dict[str, Any]) -> list[str]:
    """Return the job that is still to come, if one is."""
    status = result["status"]
    if status == "restart_needed":
        return [result["restart_job_id"]]
    if status == "processing" or (status == "locked" and result.get("queued")):
        return [result["job_id"]]
    return []
