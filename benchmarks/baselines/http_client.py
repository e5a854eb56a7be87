"""httpx over aiohttp's transport: the cheaper of the two that httpx is used with."""

from __future__ import annotations

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

__all__ = ["open_client"]

TIMEOUT_SECONDS = 30.0


def open_client() -> httpx.AsyncClient:
    """Make a client with as many connections as it takes."""

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    return httpx.AsyncClient(
        transport=AiohttpTransport(client=open_session), timeout=TIMEOUT_SECONDS
    )
