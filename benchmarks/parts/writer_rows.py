"""The messages and commits that are written, in the same form for every way of writing them."""

from __future__ import annotations

from collections.abc import Sequence

from storage.claim_records import ClaimRequest
from storage.codec import Operation, encode_batch
from storage.records import JobStatus, LeaseKind, NewMessage
from storage.time_ordered_id import time_ordered_id
from storage.turn_records import NewAction, TurnCommit

__all__ = [
    "BATCH",
    "COMMITS",
    "CONVERSATIONS",
    "MESSAGES",
    "claims_of",
    "commits_of",
    "encoded",
    "messages",
]

BATCH = 500
"""Rows of one call, and of one transaction."""
CONVERSATIONS = 2_000
MESSAGES = 20_000
COMMITS = 10_000

OWNER = "host-0#measured"
LOCK_ID = "0b0b2a3e-54a7-4d1e-bc0c-d3b0c36b2a8f"
CONTENT = "A message of about one hundred characters, as people write them to a shop they like."
REPLY = "A reply of about the same length, which says that the parcel left yesterday. What else?"
AI_RESPONSE = (
    '{"success":true,"response_text":"' + REPLY + '","intent":"order_status","confidence":0.93}'
)
ACTION = '{"type":"send_message","content":"' + REPLY + '"}'
BODY = '{"conversation_id":"c","ai_response":' + AI_RESPONSE + ',"actions":[' + ACTION + "]}"


def messages(count: int, conversations: int, start: int = 0) -> list[NewMessage]:
    """Make so many messages, one after the other for each of the conversations."""
    return [
        NewMessage(
            conversation_id=f"conversation-{number % conversations:07}",
            message_id=f"message-{number}",
            job_id=time_ordered_id(),
            sender_id="customer-1",
            sender_type="user",
            content=CONTENT,
            timestamp=1_700_000_000.0 + number,
            bot_id="default",
        )
        for number in range(start, start + count)
    ]


def claims_of(accepted: list[NewMessage]) -> list[Operation]:
    """Make the claims of the messages' conversations."""
    return [
        ClaimRequest(
            conversation_id=it.conversation_id,
            epoch=0,
            owner=OWNER,
            cluster="default",
            lock_id=LOCK_ID,
            lease_kind=LeaseKind.REDIS,
            owner_ttl_seconds=30.0,
            context_limit=20,
            message_limit=200,
        )
        for it in accepted
    ]


def commits_of(accepted: list[NewMessage]) -> list[TurnCommit]:
    """Make the ends of the turns that answer the messages, one each."""
    return [
        TurnCommit(
            conversation_id=it.conversation_id,
            epoch=1,
            job_id=it.job_id,
            status=JobStatus.COMPLETED,
            reason=None,
            message_ids=[it.message_id or ""],
            first_position=1,
            reply=REPLY,
            conversation_status="active",
            context_start=None,
            owner=OWNER,
            lock_id=LOCK_ID,
            lease_kind=LeaseKind.REDIS,
            owner_ttl_seconds=30.0,
            bot_id="default",
            ai_response=AI_RESPONSE,
            extracted_actions=f"[{ACTION}]",
            actions=[NewAction(action_type="send_message", data=ACTION, status="pending")],
            delivery_body=BODY,
            delivering=True,
        )
        for it in accepted
    ]


def encoded(operations: Sequence[Operation]) -> list[bytes]:
    """Encode operations in batches, as callers of the writer do."""
    return [
        encode_batch(operations[start : start + BATCH])
        for start in range(0, len(operations), BATCH)
    ]
