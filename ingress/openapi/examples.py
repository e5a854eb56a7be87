"""Requests and answers as readers of the description see them."""

from __future__ import annotations

from typing import Any

__all__ = [
    "BOT_REQUEST",
    "CHAT_ANSWER",
    "CHAT_REQUEST",
    "ENHANCED_ANSWERS",
    "ENHANCED_REQUEST",
    "JOB",
]

_JOB_ID = "3dcccd60-b8e9-47e2-9642-679a1d47b8dc"
_NEXT_JOB_ID = "8d5a43ab-0cf5-4ab9-9c0f-4a1dd2b40f0e"
_LOCK_ID = "2e0cee7b-cd40-44f7-a6c3-61e217293aff"

ENHANCED_REQUEST: dict[str, Any] = {
    "conversation_id": "conv_12345",
    "message_id": "msg_67890",
    "message_content": "Tôi muốn đặt lịch khám bệnh",
    "sender_id": "user_123",
    "sender_type": "user",
    "timestamp": 1699123456.789,
    "metadata": {"platform": "web", "bot_id": "sales"},
}

_TURN: dict[str, Any] = {
    "ai_response": {
        "response_text": "Anh/chị muốn khám vào ngày nào?",
        "intent": "book_appointment",
        "confidence": 0.95,
        "entities": {"service_type": "medical_checkup"},
        "processing_time_ms": 1234.5,
        "model_used": "gpt-4",
    },
    "extracted_actions": [
        {"type": "send_message", "data": {"message": "Anh/chị muốn khám vào ngày nào?"}}
    ],
    "pancake_result": {"status": "success", "actions_executed": 1},
}
_COMMON: dict[str, Any] = {"storage_backend": "Redis", "duplicate": False}
_TIMES: dict[str, Any] = {"timestamp": 1699123456.789, "processing_time_ms": 1234.5}

ENHANCED_ANSWERS: dict[str, Any] = {
    "completed": {
        "success": True,
        "result": {
            "status": "completed",
            **_TURN,
            **_COMMON,
            "message_id": "msg_67890",
            "job_id": _JOB_ID,
            "distributed_lock_used": True,
            "lock_id": _LOCK_ID,
            "consolidated_messages": 1,
        },
        **_TIMES,
    },
    "locked": {
        "success": True,
        "result": {
            "status": "locked",
            "reason": "processing_in_progress",
            **_COMMON,
            "message_id": "msg_67891",
            "job_id": _NEXT_JOB_ID,
            "queued": True,
        },
        **_TIMES,
    },
    "restart_needed": {
        "success": True,
        "result": {
            "status": "restart_needed",
            "newer_messages": [{"message_id": "msg_67891", "timestamp": 1699123457.789}],
            "current_result": _TURN,
            "restart_job_id": _NEXT_JOB_ID,
            **_COMMON,
            "message_id": "msg_67890",
            "job_id": _JOB_ID,
            "lock_id": _LOCK_ID,
            "consolidated_messages": 1,
        },
        **_TIMES,
    },
    "failed": {
        "success": False,
        "result": {
            "status": "failed",
            "reason": "ai_timeout",
            **_COMMON,
            "message_id": "msg_67890",
            "job_id": _JOB_ID,
            "distributed_lock_used": True,
            "lock_id": _LOCK_ID,
            "consolidated_messages": 1,
        },
        **_TIMES,
    },
}

CHAT_REQUEST: dict[str, Any] = {
    "conversation_id": "conv_12345",
    "history": "<USER>Hello</USER><br><BOT>Hello!</BOT><br><USER>How are you?</USER>",
    "resources": {"user_id": "123", "bot_id": "sales"},
}

CHAT_ANSWER: dict[str, Any] = {
    "success": True,
    "status": "ai_processing_started",
    "message": "Message received and AI processing started",
    "error": None,
    "action": "lock_acquired",
    "ai_job_id": _JOB_ID,
    "lock_id": _LOCK_ID,
    "consolidated_messages": 1,
    "bot_name": "Default Bot",
    "conversation_id": "conv_12345",
}

JOB: dict[str, Any] = {
    "job_id": _JOB_ID,
    "conversation_id": "conv_12345",
    "status": "completed",
    "reason": None,
    "superseded_by": None,
    "message_ids": ["msg_67890"],
    "consolidated_messages": 1,
    "created_at": 1699123456.8,
    "started_at": 1699123456.81,
    "finished_at": 1699123458.04,
    "result": _TURN,
}

BOT_REQUEST: dict[str, Any] = {
    "busy_policy": "queue",
    "fallback_message": "Sorry, please try again later.",
    "ai_core": {"url": "http://127.0.0.1:8001", "system_prompt": "You sell shoes."},
}
