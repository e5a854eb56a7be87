"""The ``history`` of a chat request: ``<USER>…</USER><br><BOT>…</BOT><br>``.

The grammar is regular, so that a pattern can describe it too: parts, between them nothing but
white space and ``<br>``; a part holds any text but another part's tags. Everything here takes
linear time.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from ingress.errors import ValidationFailed

__all__ = ["HISTORY_PATTERN", "MAX_PARTS", "History", "Part", "parse_history"]

MAX_PARTS = 500

_TAG = re.compile(r"<(/?)(USER|BOT)>", re.IGNORECASE | re.ASCII)
_GAP = re.compile(r"(?:[ \t\r\n\f\v]|<br[ \t\r\n\f\v]*+/?>)*+", re.IGNORECASE | re.ASCII)
_WHITE_SPACE = " \t\r\n\f\v"
_FIELD = "history"


def _pattern() -> str:
    """Describe all of it, but for the number of parts, as a regular expression without flags."""
    space = f"[{_WHITE_SPACE}]".encode("unicode_escape").decode().replace("\\x0c", "\\f")
    space = space.replace("\\x0b", "\\v")
    user, bot = "[Uu][Ss][Ee][Rr]", "[Bb][Oo][Tt]"
    gap = f"(?:{space}|<[Bb][Rr]{space}*/?>)*"
    no_tag = f"(?!</?(?:{user}|{bot})>)"
    text = f"(?:{no_tag}[\\s\\S])*"
    any_user = f"<{user}>{text}</{user}>{gap}"
    any_bot = f"<{bot}>{text}</{bot}>{gap}"
    with_text = f"<{user}>{space}*(?!{space}){no_tag}[\\s\\S]{text}</{user}>{gap}"
    return f"^{gap}(?:{any_user}|{any_bot})*{with_text}(?:{any_user})*(?:{any_bot})*$"


HISTORY_PATTERN = _pattern()
"""What ``parse_history`` takes, up to ``MAX_PARTS``; for Python, JavaScript and the like."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one side said, HTML-unescaped."""

    role: str
    """``user`` or ``assistant``."""
    text: str
    is_empty: bool
    """Whether nothing but white space stood between the tags."""


@dataclass(frozen=True, slots=True)
class History:
    """What is new, and what was said before and around it."""

    new_parts: list[str]
    """The parts of the last run of USER parts; at least one, none of them empty."""
    context: list[dict[str, str]]
    """``{"role", "content"}``, oldest first, without empty parts."""

    @property
    def content(self) -> str:
        """The new message."""
        return "\n".join(self.new_parts)


def parse_history(text: str) -> History:
    """Split a history. Raises ``ValidationFailed`` that says what is wrong where."""
    parts = _split(text)
    start, end = _last_user_run(parts)
    new_parts = [part.text for part in parts[start:end] if not part.is_empty]
    if not new_parts:
        what = "has no text in its last USER part" if end else "has no USER part"
        raise ValidationFailed.of(_FIELD, what)
    context = [
        {"role": part.role, "content": part.text}
        for part in parts[:start] + parts[end:]
        if not part.is_empty
    ]
    return History(new_parts, context)


def _split(text: str) -> list[Part]:
    parts: list[Part] = []
    position = 0
    open_name: str | None = None
    for tag in _TAG.finditer(text):
        is_closing, name = bool(tag[1]), tag[2].upper()
        between = text[position : tag.start()]
        if open_name is None:
            _check_gap(between, position)
            if is_closing:
                raise _malformed(tag.start(), f"</{name}> closes nothing")
            open_name = name
        elif is_closing and name == open_name:
            parts.append(_part(name, between))
            if len(parts) > MAX_PARTS:
                raise ValidationFailed.of(_FIELD, f"has more than {MAX_PARTS} parts")
            open_name = None
        else:
            raise _malformed(tag.start(), f"{tag[0].upper()} inside of <{open_name}>")
        position = tag.end()
    if open_name is not None:
        raise _malformed(len(text), f"<{open_name}> is not closed")
    _check_gap(text[position:], position)
    return parts


def _part(name: str, raw: str) -> Part:
    role = "user" if name == "USER" else "assistant"
    return Part(role, html.unescape(raw), is_empty=not raw.strip(_WHITE_SPACE))


def _check_gap(text: str, position: int) -> None:
    match = _GAP.match(text)
    taken = match.end() if match else 0
    if taken < len(text):
        raise _malformed(position + taken, "text outside of <USER> and <BOT>")


def _malformed(position: int, what: str) -> ValidationFailed:
    return ValidationFailed.of(_FIELD, f"{what} (at character {position})")


def _last_user_run(parts: list[Part]) -> tuple[int, int]:
    """Return where the last run of USER parts begins and ends; (0, 0) if there is none."""
    end = len(parts)
    while end and parts[end - 1].role != "user":
        end -= 1
    start = end
    while start and parts[start - 1].role == "user":
        start -= 1
    return start, end
