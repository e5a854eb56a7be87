"""How operations and their results travel between an actor and the writer, as MessagePack."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from storage.claim_records import Claim, ClaimRequest, OwnerRenewal
from storage.delivery_records import DeliveryRecord, DeliveryStart
from storage.records import Accepted, FencedOutcome, NewMessage, Record
from storage.turn_records import MessageSettlement, TurnCommit, TurnStart

__all__ = [
    "MAX_BATCH_CHARACTERS",
    "MAX_QUEUED_CHARACTERS",
    "FencedOperation",
    "Operation",
    "OperationKind",
    "Result",
    "StorageFailure",
    "decode_batch",
    "decode_results",
    "encode_batch",
    "encode_results",
    "weight_of",
]

MAX_BATCH_CHARACTERS = 4_194_304
"""Texts of a batch: no more than PostgreSQL stores well within a statement's time."""
MAX_QUEUED_CHARACTERS = 67_108_864
"""Texts that wait for one writer in one process."""


class OperationKind(StrEnum):
    """What the writer can be asked to do; each is batched with its like."""

    ACCEPT = "accept"
    CLAIM = "claim"
    START_TURN = "start_turn"
    COMMIT_TURN = "commit_turn"
    SETTLE = "settle"
    START_DELIVERY = "start_delivery"
    RECORD_DELIVERY = "record_delivery"
    RENEW = "renew"


class StorageFailure(StrEnum):
    """Why an operation has no result."""

    UNAVAILABLE = "unavailable"
    """The database did not answer as it should: done or not, nobody knows. Repeating is safe."""
    OVERLOADED = "overloaded"
    """Too much waits for the database; nothing was done."""


FencedOperation: TypeAlias = (
    TurnStart | TurnCommit | MessageSettlement | DeliveryStart | DeliveryRecord | OwnerRenewal
)
"""What an owner asks for; answered with a ``FencedOutcome``."""

Operation: TypeAlias = NewMessage | ClaimRequest | FencedOperation
Result: TypeAlias = Accepted | Claim | FencedOutcome | StorageFailure

_RECORDS: dict[OperationKind, type[Any]] = {
    OperationKind.ACCEPT: NewMessage,
    OperationKind.CLAIM: ClaimRequest,
    OperationKind.START_TURN: TurnStart,
    OperationKind.COMMIT_TURN: TurnCommit,
    OperationKind.SETTLE: MessageSettlement,
    OperationKind.START_DELIVERY: DeliveryStart,
    OperationKind.RECORD_DELIVERY: DeliveryRecord,
    OperationKind.RENEW: OwnerRenewal,
}
_KINDS: dict[type[Any], str] = {record: kind.value for kind, record in _RECORDS.items()}
_RESULTS: dict[str, type[Any]] = {
    "accepted": Accepted,
    "claim": Claim,
    "fenced": FencedOutcome,
    "failure": StorageFailure,
}
_RESULT_NAMES: dict[type[Any], str] = {kind: name for name, kind in _RESULTS.items()}

_encoder = msgspec.msgpack.Encoder()
_pairs = msgspec.msgpack.Decoder(list[tuple[str, msgspec.Raw]])
_operations = {
    kind.value: (kind, msgspec.msgpack.Decoder(record)) for kind, record in _RECORDS.items()
}
_results = {name: msgspec.msgpack.Decoder(kind) for name, kind in _RESULTS.items()}


def weight_of(record: Record) -> int:
    """Return how many characters a record's texts have."""
    # A list, and not a generator, since this is asked of every record on each of its ways.
    values = msgspec.structs.astuple(record)
    return sum([len(value) for value in values if type(value) is str])


def encode_batch(operations: Sequence[Operation]) -> bytes:
    """Encode operations of any kinds, in order."""
    return _encoder.encode([(_KINDS[type(operation)], operation) for operation in operations])


def decode_batch(data: bytes) -> list[tuple[OperationKind, Operation]]:
    """Undo ``encode_batch``. Raises ``ValueError`` on anything else."""
    batch = []
    for name, raw in _pairs.decode(data):
        if name not in _operations:
            raise ValueError(f"there is no operation {name!r}")
        kind, decoder = _operations[name]
        batch.append((kind, decoder.decode(raw)))
    return batch


def encode_results(results: Sequence[Result]) -> bytes:
    """Encode the results of a batch, in its order."""
    return _encoder.encode([(_RESULT_NAMES[type(result)], result) for result in results])


def decode_results(data: bytes) -> list[Result]:
    """Undo ``encode_results``."""
    return [_results[name].decode(raw) for name, raw in _pairs.decode(data)]
