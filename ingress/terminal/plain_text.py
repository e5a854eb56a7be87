"""Text of others, made fit for a terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return the text with ``?`` for what could steer the terminal; line ends and tabs stay."""
    return "".join(it if it.isprintable() or it in "\n\t" else "?" for it in text)
