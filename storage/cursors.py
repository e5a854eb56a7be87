"""Places in lists that are sorted by time, as clients carry them from page to page."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

__all__ = ["CURSOR_PATTERN", "LATEST", "InvalidCursor", "decode_cursor", "encode_cursor", "page_of"]

LATEST = datetime(9999, 12, 31, tzinfo=UTC)
"""Before it is everything: where a list that begins with the latest begins."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST_MICROSECOND = (LATEST - _EPOCH) // _MICROSECOND
CURSOR_PATTERN = r"^[0-9]{1,18}\.([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2,3})?$"

Entry = TypeVar("Entry")


class InvalidCursor(ValueError):
    """The cursor was not made by the list that it is given to."""


def encode_cursor(moment: datetime, key: str) -> str:
    """Return the place behind the entry of this time and key."""
    text = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return f"{(moment - _EPOCH) // _MICROSECOND}.{text}"


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Undo ``encode_cursor``. Raises ``InvalidCursor`` for what ``CURSOR_PATTERN`` does not match.

    Anything else is some place in the list, so that the pattern is all that clients need to know.
    """
    if not re.fullmatch(CURSOR_PATTERN, cursor):
        raise InvalidCursor("this is not a cursor of this list")
    microseconds, _, text = cursor.partition(".")
    moment = _EPOCH + min(int(microseconds), _LATEST_MICROSECOND) * _MICROSECOND
    key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return moment, key.decode(errors="replace").replace("\0", "")


def page_of(
    found: Sequence[Entry], limit: int, place_of: Callable[[Entry], tuple[datetime, str]]
) -> tuple[Sequence[Entry], str | None]:
    """Return the first ``limit`` entries, and the place behind them; None: nothing comes behind.

    To tell that, one entry more than fits a page is to be looked for.
    """
    shown = found[:limit]
    return shown, encode_cursor(*place_of(shown[-1])) if len(found) > limit else None
