"""The guides as tests read them: their code blocks, in order, and what they say comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Command", "blocks", "commands", "problems_of", "told_of"]

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"(?<![0-9a-z])(?:[0-9a-f]{12}|[0-9a-f]{8})(?![0-9a-z])")
_NUMBER = re.compile(r"\d+\.\d+|:\d{4,5}\b")
_VARIES = "…"
_FURTHER_LINE = "     "
"""Of an answer that has several."""


@dataclass
class Command:
    """A ``bash`` block, and the block that follows it and says what it prints, if one does."""

    line: int
    text: str
    output_kind: str = ""
    output: str = field(default="")


def blocks(guide: str, section: str = "") -> Iterator[tuple[int, str, str]]:
    """Yield line, language and text of each code block of a guide, or of one ``##`` of it."""
    text = (ROOT / guide).read_text()
    start = text.index(f"\n## {section}\n") + 1 if section else 0
    end = text.find("\n## ", start) if section else -1
    for found in _FENCE.finditer(text, start, end if end > 0 else len(text)):
        yield text.count("\n", 0, found.start()) + 1, found[1], found[2]


def commands(guide: str, section: str = "") -> list[Command]:
    """Return the commands of a guide (``sh`` blocks are for people only)."""
    found: list[Command] = []
    may_be_output = False
    for line, kind, text in blocks(guide, section):
        if kind == "bash":
            found.append(Command(line, text))
        elif kind in ("json", "text") and may_be_output:
            found[-1].output_kind, found[-1].output = kind, text
        may_be_output = kind == "bash"
    return found


def problems_of(expected: Any, actual: Any, place: str = "") -> Iterator[str]:
    """Yield where a JSON value is not as a guide shows it; what it does not show may be there."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        yield from (f"{place}.{it}: is missing" for it in expected.keys() - actual.keys())
        for name in expected.keys() & actual.keys():
            yield from problems_of(expected[name], actual[name], f"{place}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(actual) < len(expected):
            yield f"{place}: {actual!r} is shorter"
        for number, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
            yield from problems_of(wanted, found, f"{place}[{number}]")
    elif expected == _VARIES:
        if not isinstance(actual, str) or not actual:
            yield f"{place}: {actual!r} is no text"
    elif expected != actual:
        yield f"{place}: {actual!r} is not {expected!r}"


def told_of(text: str) -> list[str]:
    """Return the lines of a chat as far as they are the same each time, in a fixed order.

    The AI of the tests says other things than the simulated one; a turn that is short may end
    before anybody is told that it runs, and whose line comes first is not fixed.
    """
    lines = []
    for line in text.splitlines():
        if " runs" in line or not line.strip() or line.startswith(_FURTHER_LINE):
            continue
        if line.startswith("bot> "):
            lines.append("bot>")
            continue
        told = re.sub(r", (simulated|stub)|, intent \w+", "", line)
        lines.append(_NUMBER.sub("#", _ID.sub("#", told)))
    return sorted(lines)
