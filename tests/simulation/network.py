"""What is between the processes: calls that are late, lost, done twice, or answered by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from actors.ports import PeerUnavailable
from tests.simulation.process import Process, current_process
from tests.simulation.trace import Trace
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.weather import Weather

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Network"]

Answer = TypeVar("Answer")


class _Call:
    """A call on its way, or being worked on."""

    def __init__(
        self, network: Network, target: str, method: str, arguments: tuple[Any, ...]
    ) -> None:
        self.network = network
        self.target = target
        self.method = method
        self.arguments = arguments
        self.source = current_process()
        self.answer: asyncio.Future[Any] = network.loop.create_future()
        self.is_answer_lost = False

    def fail(self, seconds: float) -> None:
        """Tell the caller, after a while, that nobody knows what became of it."""
        self._settle(seconds, None, PeerUnavailable(self.target))

    def succeed(self, seconds: float, value: object) -> None:
        self._settle(seconds, value, None)

    def _settle(self, seconds: float, value: object, error: Exception | None) -> None:
        self.network.at_home_of(self.source, seconds, _resolve, self.answer, value, error)


def _resolve(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


class Network:
    """Carries calls to processes, and requests to the servers that are not processes here."""

    def __init__(
        self,
        loop: VirtualLoop,
        random: Random,
        weather: Weather,
        trace: Trace,
        processes: Mapping[str, Process],
    ) -> None:
        self.loop = loop
        self.random = random
        self.weather = weather
        self.trace = trace
        self._processes = processes
        self.on_call: Callable[[Process, str, tuple[Any, ...]], None] | None = None
        """Told of each call that a process takes in."""

    def latency(self) -> float:
        """Return how long one way takes now, in seconds."""
        return 0.0002 + 0.002 * self.random.random()

    def at_home_of(
        self, process: Process | None, seconds: float, callback: Callable[..., Any], *arguments: Any
    ) -> None:
        """Have something done in a process, if it runs then (or once it does)."""
        context = process.context if process is not None else self.loop.outside
        self.loop.call_at(self.loop.now + seconds, callback, *arguments, context=context)

    async def call(self, target: str, method: str, *arguments: Any) -> Any:
        """Call a method of the process ``target``. Raises ``PeerUnavailable``."""
        call = _Call(self, target, method, arguments)
        weather, random = self.weather, self.random
        seconds = self.latency()
        if weather.cuts and frozenset((str(call.source), target)) in weather.cuts:
            call.fail(0.5 + 2 * random.random())
            return await call.answer
        chance = random.random()
        if chance < weather.call_lost:
            weather.inject("call lost")
            call.fail(seconds + 2 * random.random())
            return await call.answer
        call.is_answer_lost = chance < weather.call_lost + weather.answer_lost
        if random.random() < weather.call_late:
            weather.inject("call late")
            seconds += 4 * random.random() ** 2
        self.at_home_of(None, seconds, self._arrive, call)
        if method in ("receive", "execute") and random.random() < weather.call_twice:
            weather.inject("call twice")
            again = _Call(self, target, method, arguments)
            again.answer.add_done_callback(lambda future: future.exception())
            self.at_home_of(None, seconds + random.random(), self._arrive, again)
        return await call.answer

    def _arrive(self, call: _Call) -> None:
        process = self._processes.get(call.target)
        if process is None or process.is_dead:
            call.fail(self.latency())
            return
        process.calls[call] = None
        self.at_home_of(process, 0.0, self._begin, process, call)

    def _begin(self, process: Process, call: _Call) -> None:
        if self.on_call is not None:
            self.on_call(process, call.method, call.arguments)
        self.loop.create_task(self._serve(process, call))

    async def _serve(self, process: Process, call: _Call) -> None:
        try:
            value = await getattr(process.instance, call.method)(*call.arguments)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the caller's business, as it is with Ray
            del process.calls[call]
            self._answer(call, None, error)
            return
        del process.calls[call]
        self._answer(call, value, None)

    def _answer(self, call: _Call, value: object, error: Exception | None) -> None:
        if call.is_answer_lost:
            self.weather.inject("answer lost")
            call.fail(2 * self.random.random())
        elif error is None:
            call.succeed(self.latency(), value)
        elif getattr(error, "is_for_callers", False):
            call._settle(self.latency(), None, error)
        else:
            self.loop.problems.append(f"{call.target}.{call.method} raised {error!r}")
            call.fail(self.latency())

    def hang_up(self, process: Process) -> None:
        """A process died: who called it learns so, sooner or later."""
        for call in process.calls:
            call.fail(1.4 * self.random.random())
        process.calls.clear()

    async def ask(
        self,
        serve: Callable[[], Answer],
        *,
        there: float = -1.0,
        back: float = -1.0,
        error: Exception | None = None,
    ) -> Answer:
        """Have a server outside of all processes do something; what it raises is raised here.

        With ``error`` that is raised instead, after ``back`` seconds, whatever the server says.
        """
        source = current_process()
        answer: asyncio.Future[Answer] = self.loop.create_future()
        there = self.latency() if there < 0 else there
        back = self.latency() if back < 0 else back

        def at_server() -> None:
            value, problem = None, error
            try:
                value = serve()
            except Exception as raised:  # goes to whoever asked
                problem = problem or raised
            self.at_home_of(source, back, _resolve, answer, value, problem)

        self.at_home_of(None, there, at_server)
        return await answer

    async def wait(self, seconds: float, error: Exception) -> None:
        """Wait in vain, then raise."""
        answer: asyncio.Future[None] = self.loop.create_future()
        self.at_home_of(current_process(), seconds, _resolve, answer, None, error)
        await answer
