"""Which writers reach the database, and what their metrics hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.ports import Directory, PeerUnavailable

__all__ = ["healthy_writers", "writer_figures"]

PING_TIMEOUT_SECONDS = 2.0


async def healthy_writers(directory: Directory, names: Sequence[str]) -> dict[str, bool]:
    """Ask all of them at once; one that does not answer reaches nothing."""

    async def reaches_database(name: str) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                return await directory.writer(name).ping()
        except (PeerUnavailable, TimeoutError):
            return False

    answers = await asyncio.gather(*(reaches_database(name) for name in names))
    return dict(zip(names, answers, strict=True))


async def writer_figures(directory: Directory, names: Sequence[str]) -> dict[str, bytes]:
    """Return what the metrics of each hold, encoded, of those that answer."""

    async def figures_of(name: str) -> bytes:
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                return await directory.writer(name).counted()
        except (PeerUnavailable, TimeoutError):
            return b""

    answers = await asyncio.gather(*(figures_of(name) for name in names))
    return {name: figures for name, figures in zip(names, answers, strict=True) if figures}
