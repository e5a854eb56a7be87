"""Reading a request's body: bounded in bytes and in time, and only if it is JSON."""

from __future__ import annotations

import asyncio
import re
from typing import Self

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from ingress.errors import BodyTooLarge, Busy, RequestTimeout, UnsupportedMediaType

__all__ = ["BODY_TIMEOUT_SECONDS", "BodyMemory", "BodyShare", "read_body"]

BODY_TIMEOUT_SECONDS = 30.0
_JSON = re.compile(r"\s*application/(?:json|[\w!#$&^.-]+\+json)\s*(?:;.*)?", re.I | re.A | re.S)


class BodyMemory:
    """Bytes of the bodies of all requests under way in this process.

    Past ``max_bytes`` requests that take part in it are refused, unless there is no other.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0

    def share(self, *, is_unlimited: bool) -> BodyShare:
        """Return one request's share, which is given back when its block ends."""
        return BodyShare(self, is_unlimited=is_unlimited)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self.used_bytes > self._max_bytes


class BodyShare:
    """The bytes of one request; a context manager."""

    def __init__(self, memory: BodyMemory, *, is_unlimited: bool) -> None:
        self._memory = memory
        self._is_unlimited = is_unlimited
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.used_bytes -= self._bytes

    def take(self, size: int) -> None:
        """Add bytes. Raises ``Busy`` past the limit, unless the request is unlimited."""
        self._bytes += size
        self._memory.used_bytes += size
        is_alone = self._memory.used_bytes == self._bytes
        if self._memory.is_full and not is_alone and not self._is_unlimited:
            raise Busy("Too many long requests are under way")


async def read_body(headers: Headers, receive: Receive, max_bytes: int, share: BodyShare) -> bytes:
    """Return the body. Checks in this order: content type, length, then what comes.

    ``share`` is told of every byte before it is kept. Raises ``Busy`` past its limit.
    """
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() else 0
    content_type = headers.get("content-type")
    # A body that comes in chunks may be empty, and then needs no content type.
    if length or ("transfer-encoding" in headers and content_type is not None):
        _check_media_type(content_type, headers)
    if length > max_bytes:
        raise BodyTooLarge(max_bytes)
    body = await _receive_all(receive, max_bytes, share)
    if body:
        _check_media_type(content_type, headers)
    return body


def _check_media_type(content_type: str | None, headers: Headers) -> None:
    if content_type != "application/json" and not _JSON.fullmatch(content_type or ""):
        raise UnsupportedMediaType("The content type must be application/json")
    if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise UnsupportedMediaType("The body must not be compressed")


async def _receive_all(receive: Receive, max_bytes: int, share: BodyShare) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLarge(max_bytes)
                share.take(len(chunk))
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestTimeout(
            f"The body did not arrive within {BODY_TIMEOUT_SECONDS:.0f} s"
        ) from None
    return b"".join(chunks)
