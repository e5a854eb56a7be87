"""The query fields of the admin endpoints."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["CleanupQuery", "ConversationsQuery", "DeadLettersQuery", "RetryQuery"]

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_LONGEST_CURSOR = 2048


def _integer(text: object) -> object:
    return int(text) if isinstance(text, str) and _INTEGER.fullmatch(text) else text


def _number(text: object) -> object:
    return float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else text


def _boolean(text: object) -> object:
    return _BOOLEANS.get(text.lower(), text) if isinstance(text, str) else text


class _Query(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class ConversationsQuery(_Query):
    """Which conversations to list."""

    limit: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=_LONGEST_CURSOR)] | None = None
    status: Literal["active", "with_agent", "ended"] | None = None


class RetryQuery(_Query):
    """Which dead letters to try again."""

    kind: Literal["message", "delivery"] | None = None


class DeadLettersQuery(RetryQuery):
    """Which dead letters to list."""

    limit: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=_LONGEST_CURSOR)] | None = None


class CleanupQuery(_Query):
    """What to clean up."""

    max_age_hours: Annotated[float, BeforeValidator(_number), Field(gt=0)] = 24.0
    dry_run: Annotated[bool, BeforeValidator(_boolean)] = False
