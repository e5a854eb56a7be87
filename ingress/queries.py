"""The query fields of the admin endpoints."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from storage.cursors import CURSOR_PATTERN

__all__ = ["CleanupQuery", "ConversationsQuery", "DeadLettersQuery", "RetryQuery"]

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False}
_LONGEST_CURSOR = 2048


def _integer(text: object) -> object:
    return int(text) if isinstance(text, str) and _INTEGER.fullmatch(text) else text


def _number(text: object) -> object:
    return float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else text


def _boolean(text: object) -> object:
    return _BOOLEANS.get(text.lower(), text) if isinstance(text, str) else text


Limit = Annotated[int, Field(ge=1, le=500), BeforeValidator(_integer)]
Cursor = Annotated[str, Field(max_length=_LONGEST_CURSOR, pattern=f"^$|{CURSOR_PATTERN}")]


class _Query(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class ConversationsQuery(_Query):
    """Which conversations to list."""

    limit: Limit = 50
    cursor: Cursor | None = None
    status: Literal["active", "with_agent", "ended"] | None = None
    search: Annotated[str, Field(max_length=255)] = ""
    waiting: Annotated[bool, BeforeValidator(_boolean)] = False


class RetryQuery(_Query):
    """Which dead letters to try again."""

    kind: Literal["message", "delivery"] | None = None


class DeadLettersQuery(RetryQuery):
    """Which dead letters to list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class CleanupQuery(_Query):
    """What to clean up."""

    max_age_hours: Annotated[float, Field(gt=0), BeforeValidator(_number)] = 24.0
    dry_run: Annotated[bool, BeforeValidator(_boolean)] = False
