"""What a running product says of its health."""

from __future__ import annotations

import time

import httpx

from tests.stack.server import Server, wait_for

__all__ = ["health_becomes"]


async def health_becomes(server: Server, status: str, within_seconds: float = 20.0) -> float:
    """Wait until the server says so of itself; return how long it took."""
    started_at = time.monotonic()
    async with httpx.AsyncClient(base_url=server.url, timeout=5) as client:

        async def says_so() -> bool:
            said: str = (await client.get("/health")).json()["status"]
            return said == status

        await wait_for(says_so, within_seconds, f"/health says {status}")
    return time.monotonic() - started_at
