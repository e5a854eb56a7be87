"""The way to the hosts: envelopes for one host travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from actors.codec import Envelope, EnvelopeKind, encode_envelopes
from actors.ports import Directory, PeerUnavailable
from actors.router import RoutingTable
from storage.batch import Batcher, QueueFull
from storage.codec import weight_of
from storage.pace import Busyness, Pace, never_busy

__all__ = ["HostLink"]

MAX_BATCH = 500
MAX_QUEUED = 20_000
MAX_BATCH_CHARACTERS = 4_194_304
MAX_QUEUED_CHARACTERS = 67_108_864
CALL_TIMEOUT_SECONDS = 10.0
_PATIENT = frozenset({EnvelopeKind.MESSAGE, EnvelopeKind.POKE})

log = structlog.get_logger()


class HostLink:
    """Sends envelopes to hosts, in order for each host.

    Nothing is lost with an envelope: what it tells of is in the database, and the sweeper routes
    it again.
    """

    def __init__(
        self,
        directory: Directory,
        table: Callable[[], RoutingTable],
        busyness: Busyness = never_busy,
    ) -> None:
        self._directory = directory
        self._table = table
        self._busyness = busyness
        self._batchers: dict[str, Batcher[Envelope, bool]] = {}

    async def send(self, envelope: Envelope, host: str | None = None) -> bool:
        """Send to ``host``, or to that of the conversation's shard; return whether it was taken."""
        if host is None:
            target = self._table().host_of(envelope.conversation_id)
            if target is None:
                return False
            host = target.name
        taken = self.put(envelope, host)
        return taken is not None and await taken == [True]

    def put(self, envelope: Envelope, host: str) -> asyncio.Future[list[bool]] | None:
        """Send to ``host``; the future gets whether it was taken. None: too many wait for that."""
        is_urgent = envelope.kind not in _PATIENT
        try:
            return self._batcher(host).put([envelope], is_urgent=is_urgent)
        except QueueFull:
            return None

    async def send_all(self, envelopes: Sequence[Envelope]) -> None:
        """Send to every host."""
        hosts = [host.name for host in self._table().hosts]
        await asyncio.gather(*(self.send(it, host) for host in hosts for it in envelopes))

    def has_room(self, host: str) -> bool:
        """Whether the queue to a host is not half full: what is over its limit is not sent."""
        batcher = self._batchers.get(host)
        return batcher is None or not batcher.is_half_full

    def _batcher(self, host: str) -> Batcher[Envelope, bool]:
        batcher = self._batchers.get(host)
        if batcher is None:
            batcher = Batcher(
                partial(self._flush, host),
                max_batch=MAX_BATCH,
                max_queued=MAX_QUEUED,
                pace=Pace(self._busyness),
                weigh=_weight_of,
                max_weight=MAX_BATCH_CHARACTERS,
                max_queued_weight=MAX_QUEUED_CHARACTERS,
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


def _weight_of(envelope: Envelope) -> int:
    return 0 if envelope.message is None else weight_of(envelope.message)
