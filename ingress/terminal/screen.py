"""Where a chat is typed and shown: a terminal, or lines on standard input and output."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console
from rich.text import Text

from ingress.terminal.narration import Line, Tone
from ingress.terminal.plain_text import printable

__all__ = ["Left", "PipeScreen", "Screen", "TerminalScreen", "open_screen"]

PIPE_PAUSE_SECONDS = 0.3
"""Between two lines of a pipe. Sent all at once they could arrive in another order."""
REFRESH_SECONDS = 0.5
"""How often the line below what is typed is brought up to date."""

_LABELS = {Tone.BOT: "bot> ", Tone.ACTION: "  -> ", Tone.NOTE: "  .  ", Tone.TROUBLE: "  !  "}
_STYLES = {Tone.BOT: "bold green", Tone.ACTION: "cyan", Tone.NOTE: "dim", Tone.TROUBLE: "red"}


class Left(Exception):
    """Ctrl-C: the person does not wait for what is under way."""


class Screen(Protocol):
    """What a chat needs of it."""

    def show(self, line: Line) -> None:
        """Show something, above what is being typed."""
        ...

    def opened(self, under_way: Callable[[], int]) -> AbstractContextManager[object]:
        """Use it; ``under_way`` says how many messages have no outcome yet."""
        ...

    def typed(self) -> AsyncIterator[str]:
        """Yield what is typed, line by line, until the end. Raises ``Left`` at Ctrl-C."""
        ...


class TerminalScreen:
    """A terminal: what happens is shown above the line that is being typed."""

    def __init__(self) -> None:
        self._console = Console(force_terminal=True, highlight=False, soft_wrap=True)
        self._session: PromptSession[str] = PromptSession(
            erase_when_done=True,
            refresh_interval=REFRESH_SECONDS,
        )
        self._under_way: Callable[[], int] = lambda: 0

    def show(self, line: Line) -> None:
        """Show something, above what is being typed."""
        self._console.print(_with_label(line, is_styled=True))

    @contextmanager
    def opened(self, under_way: Callable[[], int]) -> Iterator[None]:
        """Use it; ``under_way`` says how many messages have no outcome yet."""
        self._under_way = under_way
        with patch_stdout(raw=True):
            yield

    async def typed(self) -> AsyncIterator[str]:
        """Yield what is typed, line by line, until Ctrl-D. Raises ``Left`` at Ctrl-C."""
        while True:
            try:
                text = await self._session.prompt_async("you> ", bottom_toolbar=self._toolbar)
            except EOFError:
                return
            except KeyboardInterrupt:
                raise Left from None
            self._console.print(Text(f"you> {printable(text)}", style="bold"))
            yield text

    def _toolbar(self) -> str:
        count = self._under_way()
        waiting = f"{count} without an answer yet" if count else "nothing under way"
        return f" {waiting}. Enter sends, also while the bot is busy; Ctrl-D ends."


class PipeScreen:
    """Lines on standard input and output, for scripts; ends with the last line."""

    def __init__(self, source: TextIO, pause_seconds: float = PIPE_PAUSE_SECONDS) -> None:
        self._source = source
        self._pause_seconds = pause_seconds
        self._console = Console(highlight=False, soft_wrap=True, no_color=True)

    def show(self, line: Line) -> None:
        """Print something."""
        self._console.print(_with_label(line, is_styled=False))

    def opened(self, under_way: Callable[[], int]) -> AbstractContextManager[object]:
        """Use it."""
        return nullcontext()

    async def typed(self) -> AsyncIterator[str]:
        """Yield the lines, ``pause_seconds`` apart, until their end."""
        lines = _read_in_thread(self._source)
        while (text := await lines.get()) is not None:
            self._console.print(Text(f"you> {printable(text)}"))
            yield text
            await asyncio.sleep(self._pause_seconds)


def open_screen(pause_seconds: float) -> Screen:
    """Return the screen that fits standard input and output."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return TerminalScreen()
    return PipeScreen(sys.stdin, pause_seconds)


def _read_in_thread(source: TextIO) -> asyncio.Queue[str | None]:
    """Read lines in a thread that does not keep the process alive: a read cannot be broken off."""
    lines: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            for line in source:
                asyncio.run_coroutine_threadsafe(lines.put(line.rstrip("\r\n")), loop).result()
            asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()
        except (RuntimeError, asyncio.CancelledError):
            return  # the chat is over, and its loop with it

    threading.Thread(target=read, name="standard input", daemon=True).start()
    return lines


def _with_label(line: Line, *, is_styled: bool) -> Text:
    label = _LABELS[line.tone]
    text = line.text.replace("\n", "\n" + " " * len(label))
    return Text(label + text, style=_STYLES[line.tone] if is_styled else "")
