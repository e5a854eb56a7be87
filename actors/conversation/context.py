"""What was said in a conversation, as far as it is given to an AI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from actors.conversation.message import Line


class Context:
    """The latest lines, the oldest first."""

    __slots__ = ("_lines", "characters")

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = list(lines)
        self.characters = _characters_of(self._lines)
        """How long the lines are, together."""

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def latest(self, count: int) -> tuple[Line, ...]:
        """Return so many of the latest lines."""
        return tuple(self._lines[-count:]) if count else ()

    def say(self, lines: Iterable[Line], *, before: int, most: int) -> None:
        """Add lines that are not empty, ahead of the last ``before``; keep the ``most`` latest."""
        place = max(0, len(self._lines) - before)
        said = [line for line in lines if line.content]
        self._lines[place:place] = said
        self.characters += _characters_of(said)
        excess = len(self._lines) - most
        if excess > 0:
            self.characters -= _characters_of(self._lines[:excess])
            del self._lines[:excess]


def _characters_of(lines: Sequence[Line]) -> int:
    return sum([len(line.content) for line in lines])
