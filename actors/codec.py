"""What travels between ingress, hosts and supervisor, as MessagePack."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from actors.outcome import Outcome
from actors.router import Host, RoutingTable
from storage.records import Record, StoredMessage

__all__ = [
    "ClusterReport",
    "Envelope",
    "EnvelopeKind",
    "HostReport",
    "decode_cluster_report",
    "decode_envelopes",
    "decode_host_report",
    "decode_outcomes",
    "decode_table",
    "encode",
    "encode_envelopes",
    "encode_outcomes",
]


class EnvelopeKind(StrEnum):
    """What a host is told about a conversation."""

    MESSAGE = "message"
    """A message was stored just now."""
    POKE = "poke"
    """There may be work; or somebody asks after a message."""
    CANCEL_JOB = "cancel_job"
    """The job was cancelled in the database."""
    RESET = "reset"
    """The epoch was raised by an operator."""
    REOPEN = "reopen"
    """Something that was decided is pending again in the database."""
    FORGET = "forget"
    """The conversation was erased: what is still in memory of it is void."""


class Envelope(Record, frozen=True):
    """One thing for one conversation. Each may come more than once, or never."""

    conversation_id: str
    kind: EnvelopeKind
    epoch: int = 0
    message_id: str | None = None
    message: StoredMessage | None = None
    job_id: str | None = None
    reply_to: str | None = None
    """The ingress that waits for outcomes of the message, if any. One of another cluster goes by
    its host's address and its id."""
    hears_start: bool = False
    """Whether it waits for the word that the message's turn has started, too."""
    hops: int = 0
    """How many hosts have handed it on; the last that it may come to keeps it."""
    holder: str | None = None
    """Address of the host in another cluster that held the lease and is to be told too."""


class HostReport(Record, frozen=True):
    """How a host is."""

    name: str
    incarnation: str
    table_version: int
    conversations: int
    turns: int
    waiting_messages: int
    redis_leases: int
    database_leases: int
    has_redis: bool
    busy: int = 0
    """Conversations that have anything to do."""
    characters: int = 0
    """Of all texts in its memory."""
    busy_bots: dict[str, int] = {}
    """By bot: how many conversations ask its AI's address, or wait to; only where they are many."""
    is_draining: bool = False
    process_id: int = 0
    node: str = ""
    figures: bytes = b""
    """What the metrics of its process hold, encoded. See ``storage.metrics.decode_figures``."""

    @property
    def host(self) -> Host:
        """The incarnation that reports."""
        return Host(name=self.name, incarnation=self.incarnation)


class ClusterReport(Record, frozen=True):
    """What the supervisor knows: where to route, and how the actors are."""

    table: RoutingTable
    hosts: list[HostReport] = []
    writers: dict[str, bool] = {}
    """Whether each writer reaches the database."""
    figures: dict[str, bytes] = {}
    """Of the metrics of the writers and of the supervisor itself, encoded."""


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(list[Envelope])
_outcomes = msgspec.msgpack.Decoder(tuple[int, list[Outcome]])
_table = msgspec.msgpack.Decoder(RoutingTable)
_host_report = msgspec.msgpack.Decoder(HostReport)
_cluster_report = msgspec.msgpack.Decoder(ClusterReport)


def encode(record: Record) -> bytes:
    """Encode one record."""
    return _encoder.encode(record)


def encode_envelopes(envelopes: Sequence[Envelope]) -> bytes:
    """Encode what goes to one host, in order."""
    return _encoder.encode(list(envelopes))


def decode_envelopes(data: bytes) -> list[Envelope]:
    """Undo ``encode_envelopes``."""
    return _envelopes.decode(data)


def encode_outcomes(next_number: int, outcomes: Sequence[Outcome]) -> bytes:
    """Encode what goes to one ingress, in order, and the number to ask for more with."""
    return _encoder.encode((next_number, list(outcomes)))


def decode_outcomes(data: bytes) -> tuple[int, list[Outcome]]:
    """Undo ``encode_outcomes``."""
    return _outcomes.decode(data)


def decode_table(data: bytes) -> RoutingTable:
    """Read an encoded routing table."""
    return _table.decode(data)


def decode_host_report(data: bytes) -> HostReport:
    """Read an encoded host report."""
    return _host_report.decode(data)


def decode_cluster_report(data: bytes) -> ClusterReport:
    """Read an encoded cluster report."""
    return _cluster_report.decode(data)
