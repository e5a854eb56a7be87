"""JSON bodies that can be stored: PostgreSQL takes no U+0000, no lone surrogate, no infinity.

The fast path is one call of orjson and a look for the few bytes that could hide a problem. Only
a body that fails there is looked at again, to tell what is not JSON (400) from what is JSON that
is refused (422). Nothing here recurses on what a client sent, and all of it takes linear time.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import orjson

from ingress.errors import InvalidJson, Problem, ValidationFailed
from storage.json_values import MAX_DEPTH, text_problem

__all__ = ["MAX_DEPTH", "parse_object", "text_problem"]

_MAX_PROBLEMS = 20
_MAX_FIELD_CHARACTERS = 200
_LONGEST_NUMBER = 400
"""Digits; no longer integer fits a double."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_CLOSES = {ord("]"): ord("["), ord("}"): ord("{")}
_TOO_DEEP = Problem("", f"is nested deeper than {MAX_DEPTH} levels")
_NOT_AN_OBJECT = "The body must be a JSON object"


def parse_object(body: bytes) -> dict[str, Any]:
    """Decode a body. Raises ``InvalidJson`` or ``ValidationFailed``."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _parse_slowly(body)
    else:
        if not isinstance(value, dict):
            raise InvalidJson(_NOT_AN_OBJECT)
        if not _may_hide_a_problem(body):
            return value
    if not isinstance(value, dict):
        raise InvalidJson(_NOT_AN_OBJECT)
    problems = [problem for problem, _ in zip(_problems(value), range(_MAX_PROBLEMS), strict=False)]
    if problems:
        raise ValidationFailed(problems)
    return value


def _may_hide_a_problem(body: bytes) -> bool:
    """Whether a body that orjson took may be too deep or hold U+0000 (it refuses the rest)."""
    return b"\\u0000" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _parse_slowly(body: bytes) -> Any:
    """Decode what orjson refused, if it is JSON but for what ``_problems`` finds."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidJson("The body is not valid UTF-8") from None
    if text[:1] == "\ufeff":
        raise InvalidJson("The body begins with a byte order mark")
    if not text.lstrip(" \t\r\n").startswith("{"):
        raise InvalidJson(_NOT_AN_OBJECT)
    _check_brackets(body)
    try:
        return json.loads(text, parse_int=_parse_integer)
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidJson(f"The body is not valid JSON{where}") from None


def _check_brackets(body: bytes) -> None:
    """Refuse what is too deep for a recursive parser; only brackets that match can be JSON."""
    brackets = _STRING.sub(b"", body).translate(None, _ALL_BUT_BRACKETS)
    open_brackets = bytearray()
    deepest = 0
    for bracket in brackets:
        opening = _CLOSES.get(bracket)
        if opening is None:
            open_brackets.append(bracket)
            deepest = max(deepest, len(open_brackets))
        elif not open_brackets or open_brackets.pop() != opening:
            raise InvalidJson("The body is not valid JSON: its brackets do not match")
    if open_brackets:
        raise InvalidJson("The body is not valid JSON: it ends too early")
    if deepest > MAX_DEPTH:
        raise ValidationFailed([_TOO_DEEP])


def _parse_integer(digits: str) -> int | float:
    """Like orjson: what does not fit 64 bits becomes a double, and may overflow."""
    if len(digits) > _LONGEST_NUMBER:
        return math.inf
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


_Place: TypeAlias = "tuple[_Place | None, str | int]"


def _problems(document: dict[str, Any]) -> Iterator[Problem]:
    """Walk over all values, level by level."""
    level: list[tuple[_Place | None, Any]] = [(None, document)]
    for _ in range(MAX_DEPTH):
        deeper: list[tuple[_Place | None, Any]] = []
        for place, container in level:
            for name, value in _items(container):
                if type(name) is str and (problem := text_problem(name)):
                    yield Problem(_path((place, name)), f"is a key that {problem}")
                if type(value) is dict or type(value) is list:
                    deeper.append(((place, name), value))
                elif problem := _scalar_problem(value):
                    yield Problem(_path((place, name)), problem)
        if not deeper:
            return
        level = deeper
    yield Problem(_path(level[0][0]), _TOO_DEEP.problem)


def _items(container: dict[str, Any] | list[Any]) -> Iterable[tuple[str | int, Any]]:
    return container.items() if isinstance(container, dict) else enumerate(container)


def _scalar_problem(value: object) -> str | None:
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    return None


def _path(place: _Place | None) -> str:
    """Return a field's dotted path, safe to be put into an answer, cut where it is long."""
    names: list[str] = []
    while place is not None:
        place, name = place
        names.append(str(name)[:_MAX_FIELD_CHARACTERS])
    text = ".".join(reversed(names))[:_MAX_FIELD_CHARACTERS]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\u0000")
