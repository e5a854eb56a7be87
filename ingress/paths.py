"""Paths whose parts may hold any character, ``/`` included, as long as they are percent-encoded.

The server hands over the path decoded, where an encoded ``/`` looks like one that separates. So
routes are matched against a normal form of the path as it came: everything decoded but ``%`` and
``/`` within a part. The ``segment`` convertor gives handlers the part itself.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import Scope

from ingress.errors import NotFound

__all__ = ["SegmentConvertor", "normalize_path"]

_ESCAPED = re.compile("%(25|2F)")
_CHARACTERS = {"25": "%", "2F": "/"}


def normalize_path(scope: Scope) -> None:
    """Put the normal form into ``scope["path"]``. Raises ``NotFound`` for what is not text."""
    raw: bytes | None = scope.get("raw_path")
    if not raw or b"%" not in raw:
        return
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.split(b"/")]
    except UnicodeDecodeError:
        raise NotFound("There is no such path") from None
    scope["path"] = "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


class SegmentConvertor(Convertor[str]):
    """One part of a path in its normal form; an empty one does not match."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the part as the client meant it."""
        return _ESCAPED.sub(lambda match: _CHARACTERS[match[1]], value)

    def to_string(self, value: str) -> str:
        """Return the normal form of a part."""
        return value.replace("%", "%25").replace("/", "%2F")


register_url_convertor("segment", SegmentConvertor())
