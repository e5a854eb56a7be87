"""What values settings take, and how they are brought into their final form."""

from __future__ import annotations

import binascii
import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from storage.dsn import postgres_dsn

__all__ = [
    "WEBHOOK_SECRET_PREFIX",
    "ActorCalls",
    "DatabaseUrl",
    "Environment",
    "FullPath",
    "HttpBase",
    "LogLevel",
    "Port",
    "RateLimit",
    "RedisUrl",
    "UrlPath",
    "WebhookSecret",
]

_RATE_LIMIT = re.compile(r"^[1-9]\d{0,8} ?/ ?([1-9]\d{0,4} ?)?(second|minute|hour|day)s?$")

_WEBHOOK_KEY_BYTES = range(24, 65)
WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 (what every one begins with)


def _rate_limit(value: str) -> str:
    value = value.strip().lower()
    if value != "off" and not _RATE_LIMIT.match(value):
        raise ValueError("is 'off' or a number a period, such as '1000/second'")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("begins with redis://, rediss:// or unix://")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if value:
        postgres_dsn(value.get_secret_value())
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().removeprefix(WEBHOOK_SECRET_PREFIX)
    try:
        key = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _WEBHOOK_KEY_BYTES:
        raise ValueError("is whsec_ and 24 to 64 bytes in base64")
    return value


def _ignore_case(value: str) -> str:
    return value.strip().lower()


def _ignore_case_of_level(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _make_absolute(value: Path) -> Path:
    return value.expanduser().absolute()


HttpBase: TypeAlias = Annotated[
    str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$", max_length=2048)
]
UrlPath: TypeAlias = Annotated[str, Field(pattern=r"^/[^\s#]*$", max_length=2048)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Environment: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=64), AfterValidator(_ignore_case)
]
ActorCalls: TypeAlias = Literal["direct", "ray"]
LogLevel: TypeAlias = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(_ignore_case_of_level),
]
RateLimit: TypeAlias = Annotated[str, AfterValidator(_rate_limit)]
RedisUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_redis_url)]
DatabaseUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_database_url)]
FullPath: TypeAlias = Annotated[Path, AfterValidator(_make_absolute)]
WebhookSecret: TypeAlias = Annotated[SecretStr, AfterValidator(_webhook_secret)]
