"""The way between clusters: hosts tell each other over Redis what is asked and what became of it.

Each host listens to one channel of its own, and the lease says whose it is: so a message for a
conversation that another cluster's host holds is told to that host and no other, and the outcome
comes back to the host that asked, which has it fetched by its ingress. What is told here is a
hint, as all between ingress and host: it may be lost, and the sweeper and the database make up
for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from actors.codec import Envelope, EnvelopeKind
from actors.outcome import Outcome, OutcomeKind
from actors.outcome_streams import OutcomeStreams
from storage.batch import Batcher, QueueFull
from storage.records import Record
from storage.redis_channels import MAX_PUBLISHED_BYTES, Channels

__all__ = ["ClusterLink", "HostAddress", "Notice"]

log = structlog.get_logger()

MAX_BATCH = 500
MAX_QUEUED = 20_000
MAX_NOTICE_BYTES = 256 * 1024
MAX_BATCH_BYTES = MAX_PUBLISHED_BYTES // 4
MAX_QUEUED_BYTES = 64 * 1024 * 1024
TOLD_FROM_AFAR = frozenset(
    {EnvelopeKind.POKE, EnvelopeKind.CANCEL_JOB, EnvelopeKind.RESET, EnvelopeKind.FORGET}
)
"""What another cluster may say. A message's content is read from the database only."""


class HostAddress(NamedTuple):
    """Where a host can be told something from another cluster."""

    cluster: str
    owner: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.owner}"

    @classmethod
    def parse(cls, text: str) -> HostAddress | None:
        """Read an address; None: it is the owner id of a host of this cluster."""
        cluster, slash, owner = text.partition("/")
        return cls(cluster, owner) if slash else None

    @property
    def channel(self) -> str:
        """The channel that this host listens to."""
        return f"cluster:{self.cluster}:{self.owner}"


class Notice(Record, frozen=True):
    """One thing that a host tells another: about a conversation, or for an ingress."""

    envelope: Envelope | None = None
    ingress_id: str | None = None
    outcome: Outcome | None = None


_encoder = msgspec.msgpack.Encoder()
_notice = msgspec.msgpack.Decoder(Notice)
_parcel = msgspec.msgpack.Decoder(list[bytes])


class ClusterLink:
    """What one host tells hosts of other clusters, and hears from them.

    It takes the place of the host's ``OutcomeStreams`` for those who have outcomes to tell.
    """

    def __init__(self, own: HostAddress, channels: Channels, streams: OutcomeStreams) -> None:
        self._own = own
        self._channels = channels
        self._streams = streams
        self._questions: Batcher[str, bool] = Batcher(
            self._ask, max_batch=MAX_BATCH, max_queued=MAX_QUEUED
        )
        self._notices: Batcher[tuple[str, bytes], None] = Batcher(
            self._publish,
            max_batch=MAX_BATCH,
            max_queued=MAX_QUEUED,
            weigh=lambda notice: len(notice[1]),
            max_weight=MAX_BATCH_BYTES,
            max_queued_weight=MAX_QUEUED_BYTES,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def reaches(self, host: HostAddress) -> bool:
        """Whether the host seems to listen."""
        try:
            (is_listening,) = await self._questions.submit([host.channel])
        except QueueFull:
            return False
        return is_listening

    def tell(self, host: HostAddress, envelope: Envelope) -> None:
        """Tell a host of another cluster about a conversation."""
        reply_to = envelope.reply_to
        if reply_to is not None and "/" not in reply_to:
            reply_to = f"{self._own}/{reply_to}"
        envelope = msgspec.structs.replace(envelope, message=None, reply_to=reply_to, holder=None)
        self._send(host, Notice(envelope=envelope))

    def put(self, reply_to: str, outcome: Outcome) -> None:
        """Tell an ingress of this cluster, or of another one, what became of its message."""
        host_part, slash, ingress_id = reply_to.rpartition("/")
        host = HostAddress.parse(host_part)
        if not slash or host == self._own:
            self._streams.put(ingress_id, outcome)
        elif host is not None:
            self._send(host, Notice(ingress_id=ingress_id, outcome=outcome))

    def receive(self, parcel: bytes, take: Callable[[Envelope], None]) -> None:
        """Take in what was published for this host. Raises nothing for what cannot be read."""
        try:
            notices = _parcel.decode(parcel)
        except msgspec.MsgspecError:
            log.warning("parcel_dropped", size_bytes=len(parcel))
            return
        for encoded in notices:
            try:
                self._take(_notice.decode(encoded), take)
            except msgspec.MsgspecError:
                log.warning("notice_dropped", size_bytes=len(encoded))

    def _take(self, notice: Notice, take: Callable[[Envelope], None]) -> None:
        if notice.outcome is not None and notice.ingress_id is not None:
            self._streams.put(notice.ingress_id, notice.outcome)
        envelope = notice.envelope
        if envelope is None:
            return
        if envelope.kind not in TOLD_FROM_AFAR or envelope.message or envelope.holder:
            log.warning("notice_dropped", kind=envelope.kind.value)
            return
        take(envelope)

    def _send(self, host: HostAddress, notice: Notice) -> None:
        encoded = _encoder.encode(notice)
        if len(encoded) > MAX_NOTICE_BYTES and notice.outcome is not None:
            encoded = _encoder.encode(_shortened(notice))
        task = asyncio.create_task(self._submit(host.channel, encoded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, channel: str, encoded: bytes) -> None:
        try:
            await self._notices.submit([(channel, encoded)])
        except QueueFull:
            log.warning("notice_not_sent", reason="too many wait")

    async def _ask(self, channels: list[str]) -> list[bool]:
        unique = list(dict.fromkeys(channels))
        found = dict(zip(unique, await self._channels.have_listeners(unique), strict=True))
        return [found[channel] for channel in channels]

    async def _publish(self, notices: list[tuple[str, bytes]]) -> list[None]:
        """Publish what goes to one host as one text."""
        parcels: dict[str, list[bytes]] = {}
        for channel, encoded in notices:
            parcels.setdefault(channel, []).append(encoded)
        texts = [(channel, _encoder.encode(parcel)) for channel, parcel in parcels.items()]
        if not await self._channels.publish(texts):
            log.warning("notices_not_sent", count=len(notices))
        return [None] * len(notices)


def _shortened(notice: Notice) -> Notice:
    """Return a notice for an outcome that is too long to publish: the database has all of it."""
    outcome = notice.outcome
    if outcome is None:
        return notice
    short = Outcome(
        conversation_id=outcome.conversation_id,
        message_id=outcome.message_id,
        kind=OutcomeKind.GONE,
        job_id=outcome.job_id,
    )
    return Notice(ingress_id=notice.ingress_id, outcome=short)
