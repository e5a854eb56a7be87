"""Places in lists that are sorted by time, as clients carry them from page to page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

__all__ = ["LATEST", "InvalidCursor", "decode_cursor", "encode_cursor", "page_of"]

LATEST = datetime(9999, 12, 31, tzinfo=UTC)
"""Before it is everything: where a list that begins with the latest begins."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Entry = TypeVar("Entry")


class InvalidCursor(ValueError):
    """The cursor was not made by the list that it is given to."""


def encode_cursor(moment: datetime, key: str) -> str:
    """Return the place behind the entry of this time and key."""
    text = msgspec.json.encode([(moment - _EPOCH) // _MICROSECOND, key])
    return base64.urlsafe_b64encode(text).decode()


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Undo ``encode_cursor``. Raises ``InvalidCursor``."""
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        microseconds, key = msgspec.json.decode(text, type=tuple[int, str])
        return _EPOCH + microseconds * _MICROSECOND, key
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidCursor("this is not a cursor of this list") from error


def page_of(
    found: Sequence[Entry], limit: int, place_of: Callable[[Entry], tuple[datetime, str]]
) -> tuple[Sequence[Entry], str | None]:
    """Return the first ``limit`` entries, and the place behind them; None: nothing comes behind.

    To tell that, one entry more than fits a page is to be looked for.
    """
    shown = found[:limit]
    return shown, encode_cursor(*place_of(shown[-1])) if len(found) > limit else None
