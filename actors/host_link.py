"""The way to the hosts: envelopes for one host travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from actors.codec import Envelope, encode_envelopes
from actors.ports import Directory, PeerUnavailable
from actors.router import RoutingTable
from storage.batch import Batcher, QueueFull

__all__ = ["HostLink"]

MAX_BATCH = 500
MAX_QUEUED = 20_000
CALL_TIMEOUT_SECONDS = 10.0

log = structlog.get_logger()


class HostLink:
    """Sends envelopes to hosts, in order for each host.

    Nothing is lost with an envelope: what it tells of is in the database, and the sweeper routes
    it again.
    """

    def __init__(self, directory: Directory, table: Callable[[], RoutingTable]) -> None:
        self._directory = directory
        self._table = table
        self._batchers: dict[str, Batcher[Envelope, bool]] = {}

    async def send(self, envelope: Envelope, host: str | None = None) -> bool:
        """Send to ``host``, or to that of the conversation's shard; return whether it was taken."""
        if host is None:
            target = self._table().host_of(envelope.conversation_id)
            if target is None:
                return False
            host = target.name
        try:
            (taken,) = await self._batcher(host).submit([envelope])
        except QueueFull:
            return False
        return taken

    def _batcher(self, host: str) -> Batcher[Envelope, bool]:
        batcher = self._batchers.get(host)
        if batcher is None:
            batcher = Batcher(
                partial(self._flush, host), max_batch=MAX_BATCH, max_queued=MAX_QUEUED
            )
            self._batchers[host] = batcher
        return batcher

    async def _flush(self, host: str, envelopes: list[Envelope]) -> list[bool]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await self._directory.host(host).receive(encode_envelopes(envelopes))
        except (PeerUnavailable, TimeoutError) as error:
            log.warning("host_unreachable", host=host, error=type(error).__name__)
            return [False] * len(envelopes)
        return [True] * len(envelopes)
