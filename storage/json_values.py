"""What PostgreSQL's ``text`` and ``jsonb`` take, checked before a value comes near them."""

from __future__ import annotations

import math

import orjson

__all__ = ["NotStorable", "json_text", "storage_problem", "text_problem"]

MAX_VALUES = 20_000
"""How many values and keys one checked JSON value may hold."""
MAX_DEPTH = 32
"""How deep objects and lists may be nested."""


class NotStorable(ValueError):
    """A value cannot be stored; the message says why and never quotes the value."""


def text_problem(text: str) -> str | None:
    """Say why ``text`` cannot be stored, or None if it can."""
    if "\x00" in text:
        return "holds U+0000"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds a lone surrogate"
    return None


def storage_problem(value: object, max_depth: int = MAX_DEPTH) -> str | None:
    """Say why a parsed JSON value cannot be stored, or None if it can."""
    waiting: list[tuple[object, int]] = [(value, 1)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            return f"holds more than {MAX_VALUES} values"
        if isinstance(item, dict | list) and depth > max_depth:
            return f"is nested deeper than {max_depth}"
        if isinstance(item, dict):
            waiting.extend((key, depth + 1) for key in item)
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif problem := _scalar_problem(item):
            return problem
    return None


def json_text(value: object, max_bytes: int) -> str:
    """Encode a parsed JSON value. Raises ``NotStorable``."""
    if problem := storage_problem(value):
        raise NotStorable(problem)
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError) as error:  # an integer beyond 64 bits
        raise NotStorable("holds a value that is not JSON") from error
    if len(encoded) > max_bytes:
        raise NotStorable(f"is longer than {max_bytes} bytes")
    return encoded.decode()


def _scalar_problem(item: object) -> str | None:
    if isinstance(item, str):
        return text_problem(item)
    if isinstance(item, float) and not math.isfinite(item):
        return "holds a number that is not finite"
    return None
