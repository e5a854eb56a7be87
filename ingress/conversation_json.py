"""Conversations as the admin API shows them. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from ingress.background_jobs import job_as_json
from ingress.waiting import why_it_waits
from storage.redis_lease import LeaseHolder
from storage.views import ActionView, ConversationDetail, ConversationView, JobView, MessageView

__all__ = ["as_detail", "as_item"]


def as_item(conversation: ConversationView) -> dict[str, Any]:
    """Return an entry of the list."""
    return {
        "conversation_id": conversation.conversation_id,
        "last_message_id": conversation.last_message_id,
        "last_message_timestamp": conversation.last_message_timestamp,
        "ai_processing": conversation.ai_processing,
        "context_size": conversation.context_size,
        "status": conversation.status,
        "waiting_messages": conversation.waiting_messages,
        "owner": conversation.owner,
        "bot_id": conversation.bot_id,
        "last_accepted_at": conversation.last_accepted_at,
        "undelivered_jobs": conversation.undelivered_jobs,
        "waits_for": why_it_waits(conversation),
    }


def as_detail(detail: ConversationDetail, holder: LeaseHolder | None) -> dict[str, Any]:
    """Return a conversation with all that belongs to it, and who holds its lease in Redis."""
    conversation = detail.conversation
    lease = None
    if holder is not None:
        lease = {
            "owner": holder.owner,
            "cluster": holder.cluster,
            "lock_id": holder.lock_id,
            "seconds_left": holder.remaining_seconds,
        }
    return {
        **asdict(conversation),
        "lease": lease,
        "lease_seconds_left": (
            holder.remaining_seconds if holder else conversation.owner_seconds_left
        ),
        "waits_for": why_it_waits(conversation),
        "next_retry_at": detail.next_retry_at,
        "messages": [_message(it) for it in detail.messages],
        "jobs": [_job(it) for it in detail.jobs],
        "actions": [_action(it) for it in detail.actions],
    }


def _message(message: MessageView) -> dict[str, Any]:
    return {
        **asdict(message),
        "metadata": _fragment(message.metadata),
        "attachments": _fragment(message.attachments),
    }


def _job(job: JobView) -> dict[str, Any]:
    return {
        **job_as_json(job),
        "bot_id": job.bot_id,
        "delivery_status": job.delivery_status,
        "delivery_attempts": job.delivery_attempts,
        "delivery_error": job.delivery_error,
        "next_delivery_at": job.next_delivery_at,
    }


def _action(action: ActionView) -> dict[str, Any]:
    return {**asdict(action), "data": _fragment(action.data)}


def _fragment(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)
