"""A screen for the chat whose person is a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from ingress.terminal.narration import Line

__all__ = ["PretendedScreen"]


class PretendedScreen:
    """Types what it is given, in order; what is no text is called and waited for."""

    def __init__(self, *typed: str | Callable[[], Awaitable[Any]]) -> None:
        self._typed = list(typed)
        self.lines: list[Line] = []
        self.under_way: Callable[[], int] = lambda: 0

    def add(self, *typed: str | Callable[[], Awaitable[Any]]) -> None:
        """Type this as well."""
        self._typed += typed

    def show(self, line: Line) -> None:
        self.lines.append(line)

    def opened(self, under_way: Callable[[], int]) -> nullcontext[None]:
        self.under_way = under_way
        return nullcontext()

    async def typed(self) -> AsyncIterator[str]:
        for it in self._typed:
            if isinstance(it, str):
                yield it
            else:
                await it()

    @property
    def text(self) -> str:
        """What is shown, a line each, after who says it."""
        return "\n".join(f"{it.tone.value}: {it.text}" for it in self.lines)
