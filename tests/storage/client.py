"""A caller of the writer, and operations with everything that a test does not care about."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from storage.claim_records import Claim, ClaimRequest, OwnerRenewal
from storage.codec import Operation, Result, decode_results, encode_batch
from storage.delivery_records import DeliveryRecord, DeliveryResult, DeliveryStart
from storage.records import Accepted, FencedOutcome, JobStatus, LeaseKind, NewMessage
from storage.turn_records import MessageSettlement, TurnCommit, TurnStart
from storage.writer import StorageWriter

HOST = "host-1"


def new_id() -> str:
    return str(uuid.uuid4())


def message(conversation_id: str, message_id: str | None = "m1", **fields: Any) -> NewMessage:
    values: dict[str, Any] = {
        "job_id": new_id(),
        "sender_id": "somebody",
        "sender_type": "user",
        "content": f"content of {message_id}",
        "timestamp": 1_700_000_000.5,
        "bot_id": "default",
    }
    return NewMessage(conversation_id=conversation_id, message_id=message_id, **values | fields)


def claim(conversation_id: str, epoch: int = 0, owner: str = HOST, **fields: Any) -> ClaimRequest:
    values: dict[str, Any] = {
        "cluster": "here",
        "lock_id": f"lock of {owner} {epoch}",
        "lease_kind": LeaseKind.REDIS,
        "owner_ttl_seconds": 30.0,
        "context_limit": 20,
        "message_limit": 50,
    }
    return ClaimRequest(
        conversation_id=conversation_id, epoch=epoch, owner=owner, **values | fields
    )


def turn(
    conversation_id: str,
    job_id: str,
    *message_ids: str,
    epoch: int = 1,
    superseded: Any = (),
    attempts: int = 0,
) -> TurnStart:
    return TurnStart(
        conversation_id=conversation_id,
        epoch=epoch,
        job_id=job_id,
        message_ids=list(message_ids),
        superseded_job_ids=list(superseded),
        attempts=attempts,
    )


def commit(conversation_id: str, job_id: str, *message_ids: str, **fields: Any) -> TurnCommit:
    values: dict[str, Any] = {
        "epoch": 1,
        "status": JobStatus.COMPLETED,
        "reason": None,
        "first_position": 1,
        "reply": "the reply",
        "conversation_status": "active",
        "context_start": None,
        "owner": HOST,
        "lock_id": f"lock of {HOST} 0",
        "lease_kind": LeaseKind.REDIS,
        "owner_ttl_seconds": 30.0,
        "bot_id": "default",
        "ai_response": '{"response_text": "the reply"}',
        "extracted_actions": "[]",
        "delivery_body": '{"the": "body"}',
    }
    return TurnCommit(
        conversation_id=conversation_id,
        job_id=job_id,
        message_ids=list(message_ids),
        **values | fields,
    )


def settlement(
    conversation_id: str, message_id: str, job_id: str, **fields: Any
) -> MessageSettlement:
    values: dict[str, Any] = {
        "epoch": 1,
        "status": JobStatus.COMPLETED,
        "reason": "not_from_user",
        "position": 1,
    }
    return MessageSettlement(
        conversation_id=conversation_id, message_id=message_id, job_id=job_id, **values | fields
    )


def rejection(conversation_id: str, message_id: str, job_id: str) -> MessageSettlement:
    return settlement(
        conversation_id,
        message_id,
        job_id,
        status=JobStatus.REJECTED,
        reason="processing_in_progress",
        position=None,
    )


def delivery_start(conversation_id: str, job_id: str, epoch: int = 1) -> DeliveryStart:
    return DeliveryStart(conversation_id=conversation_id, epoch=epoch, job_id=job_id)


def delivered(
    conversation_id: str,
    job_id: str,
    result: DeliveryResult = DeliveryResult.SENT,
    epoch: int = 1,
    **fields: Any,
) -> DeliveryRecord:
    return DeliveryRecord(
        conversation_id=conversation_id, epoch=epoch, job_id=job_id, result=result, **fields
    )


def renewal(conversation_id: str, epoch: int = 1, **fields: Any) -> OwnerRenewal:
    values: dict[str, Any] = {
        "owner": HOST,
        "lease_kind": LeaseKind.DATABASE,
        "owner_ttl_seconds": 30.0,
    }
    return OwnerRenewal(conversation_id=conversation_id, epoch=epoch, **values | fields)


class Client:
    """Speaks to a writer in bytes, as actors do."""

    def __init__(self, writer: StorageWriter) -> None:
        self.writer = writer

    async def execute(self, *operations: Operation) -> list[Result]:
        return decode_results(await self.writer.execute(encode_batch(operations)))

    async def accept(self, *messages: NewMessage) -> list[Accepted]:
        results = await self.execute(*messages)
        assert all(isinstance(result, Accepted) for result in results), results
        return [result for result in results if isinstance(result, Accepted)]

    async def accept_one(self, new_message: NewMessage) -> Accepted:
        (accepted,) = await self.accept(new_message)
        return accepted

    async def claim(self, request: ClaimRequest) -> Claim:
        (result,) = await self.execute(request)
        assert isinstance(result, Claim), result
        return result

    async def fenced(self, *operations: Operation) -> Sequence[FencedOutcome]:
        results = await self.execute(*operations)
        assert all(isinstance(result, FencedOutcome) for result in results), results
        return [result for result in results if isinstance(result, FencedOutcome)]

    async def do(self, operation: Operation) -> FencedOutcome:
        (outcome,) = await self.fenced(operation)
        return outcome

    async def owned_job(self, conversation_id: str, *message_ids: str) -> str:
        """Accept messages, claim the conversation (epoch 1), and start a turn with all of them."""
        accepted = await self.accept(*(message(conversation_id, each) for each in message_ids))
        await self.claim(claim(conversation_id))
        jobs = [each.job_id for each in accepted]
        start = turn(conversation_id, jobs[0], *message_ids, superseded=jobs[1:])
        assert await self.do(start) is FencedOutcome.DONE
        return jobs[0]

    async def committed_job(self, conversation_id: str, *message_ids: str, **fields: Any) -> str:
        """The same, and commit its turn."""
        job_id = await self.owned_job(conversation_id, *message_ids)
        outcome = await self.do(commit(conversation_id, job_id, *message_ids, **fields))
        assert outcome is FencedOutcome.DONE
        return job_id
