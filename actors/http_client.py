"""One bounded HTTP request with a JSON body: what the AI client and the platform client share."""

from __future__ import annotations

import math
import ssl
import time
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp
import httpx
from yarl import URL

__all__ = [
    "CallFailed",
    "CallTimedOut",
    "HttpClient",
    "Reply",
    "backoff_seconds",
    "loggable",
]

MAX_REPLY_BYTES = 1_048_576
CONNECT_TIMEOUT_SECONDS = 5.0
KEEPALIVE_SECONDS = 4.0
"""Less than the 5 s after which many servers close an idle connection under the next request."""
MAX_ADDRESSES = 1_024
"""Read addresses that are kept."""
MAX_TIMEOUTS = 256
"""The same, of timeouts."""

_HEADERS = {
    "User-Agent": "chat-orchestrator",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a few hundred bytes; and no bombs
    "Content-Type": "application/json",
}
_INFLATED = frozenset({"gzip", "x-gzip", "deflate"})


class CallFailed(Exception):
    """There is no reply: not connected, cut off, or not HTTP."""


class CallTimedOut(CallFailed):
    """There is no whole reply in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, its body read to the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """None: it was longer than ``MAX_REPLY_BYTES``, and the rest was not read."""

    @property
    def retry_after_seconds(self) -> float | None:
        """What ``Retry-After`` asks for, as seconds or as a date; None if it says nothing."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        moment = _moment(text)
        if moment is None:
            return None
        # By the clock that wrote it, if that shows: ours may be another.
        now = _moment(self.headers.get("date", ""))
        return max(0.0, moment - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    """Read the date of a header, as Unix seconds."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


class HttpClient:
    """Posts JSON; follows no redirect, uses no proxy of the environment, keeps no cookie.

    It has no limit for connections of its own: with one, the calls to a slow address would keep
    those to all others waiting, inside their timeouts. Its users have a ``Bulkheads``.
    """

    def __init__(self) -> None:
        self._context = httpx.create_ssl_context()
        self._session: aiohttp.ClientSession | None = None

    async def post_json(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> Reply:
        """Send ``body`` and read the whole reply within ``timeout_seconds``.

        Raises ``CallTimedOut`` or ``CallFailed``. Cancelling it closes the connection.
        """
        if self._session is None:  # made here, since it needs the running loop
            self._session = _open_session(self._context)
        try:
            address, credentials = _split_credentials(url)
            async with self._session.post(
                address,
                data=body,
                headers={**headers, **credentials},
                allow_redirects=False,
                timeout=_timeout(timeout_seconds),
            ) as response:
                return Reply(response.status, response.headers, await _read(response))
        except aiohttp.ServerTimeoutError as error:
            raise CallTimedOut(f"not connected within {CONNECT_TIMEOUT_SECONDS:g} s") from error
        except TimeoutError as error:
            raise CallTimedOut(f"no reply within {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError, zlib.error) as error:
            # A RuntimeError is what aiohttp raises for a connection that was closed under it.
            raise CallFailed(f"no reply: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _open_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=context,
        limit=0,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,  # it fails for what it does not know, though nobody may read it
    )


@lru_cache(MAX_TIMEOUTS)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=seconds,
        sock_connect=CONNECT_TIMEOUT_SECONDS,
        ceil_threshold=math.inf,  # as it is, and not up to a second longer
    )


@lru_cache(MAX_ADDRESSES)
def _split_credentials(url: str) -> tuple[URL, Mapping[str, str]]:
    """Turn ``user:password@`` into the header it stands for, which comes before any other token."""
    address = URL(url)
    if address.user is None and address.password is None:
        return address, {}
    text = f"{address.user or ''}:{address.password or ''}"
    header = "Basic " + b64encode(text.encode()).decode()
    return address.with_user(None), {"Authorization": header}


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            return None
        chunks.append(chunk)
    said = b"".join(chunks)
    encoding = response.headers.get("content-encoding", "").strip().lower()
    return _inflate(said) if encoding in _INFLATED else said


def _inflate(said: bytes) -> bytes | None:
    """Decompress a reply, though none such was asked for; None: it is too long."""
    inflated = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(said, MAX_REPLY_BYTES + 1)
    return inflated if len(inflated) <= MAX_REPLY_BYTES else None


def backoff_seconds(
    failures: int, base_seconds: float, cap_seconds: float, random_fraction: float
) -> float:
    """Return how long to wait after the ``failures``-th failure in a row (1 is the first).

    It doubles from ``base_seconds`` up to ``cap_seconds``; ``random_fraction`` (0 to 1) adds up to
    half of it, so that what failed together does not come back together.
    """
    doubled = math.ldexp(base_seconds, min(max(failures, 1), 64) - 1)
    return min(doubled, cap_seconds) * (1 + random_fraction / 2)


def loggable(url: str) -> str:
    """Return where ``url`` leads, without its credentials and its query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "<not an address>"
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
