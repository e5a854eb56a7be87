"""An event loop whose clock jumps to the next timer: nothing is waited for, nothing is selected."""

from __future__ import annotations

import asyncio
import gc
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

from tests.simulation.process import current_process, process_of

__all__ = ["VirtualLoop"]

Result = TypeVar("Result")
LAST_ROUNDS = 50


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs what is ready in the order in which it became so; the seed alone decides on that."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outside = copy_context()
        """For what happens outside of all processes: in the network, in servers."""
        self.problems: list[str] = []
        """Exceptions that nobody took."""
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self._is_ending = False

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],  # type: ignore[override]
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def resume(self, handle: asyncio.Handle) -> None:
        """Run a handle again that came while its process was paused."""
        self._ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_ending:
            error = context.get("exception")
            self.problems.append(f"{context.get('message')}: {error!r} in {current_process()}")

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run until ``main`` has ended, then end whatever else is there."""
        events._set_running_loop(self)
        gc.disable()  # else what was killed is collected at moments that differ
        try:
            task: asyncio.Task[Result] = self.outside.run(self.create_task, main)
            while not task.done():
                self._run_once()
            gc.collect()  # a task that failed with nobody to hear of it says so now
            self._end_the_rest()
            return task.result()
        finally:
            events._set_running_loop(None)
            gc.enable()

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            if not self._timers:
                raise RuntimeError("everything waits for something that never comes")
            when, _, timer = heappop(self._timers)
            if timer._cancelled:
                return
            self.now = max(self.now, when)
            ready.append(timer)
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                self._run_handle(handle)

    def _run_handle(self, handle: Any) -> None:
        """Run one, unless its process stands still; ``Handle._run`` in short, and so faster."""
        context = handle._context
        process = process_of(context)
        if process is not None and process.stands_still and not self._is_ending:
            process.parked.append(handle)
            return
        try:
            context.run(handle._callback, *handle._args)
        except Exception as error:  # nobody else would hear of it
            self.call_exception_handler({"message": repr(handle), "exception": error})

    def _end_the_rest(self) -> None:
        """Cancel all tasks, those of dead and paused processes too; nothing they do counts."""
        self._is_ending = True
        self._timers.clear()
        for _ in range(LAST_ROUNDS):
            tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            while self._ready:
                handle = self._ready.popleft()
                if not handle._cancelled:
                    self._run_handle(handle)
