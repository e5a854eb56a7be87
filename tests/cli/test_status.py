"""What `chat-orchestrator status` shows."""

from __future__ import annotations

from typing import Any

import pytest

from ingress.greeting import greeting
from ingress.status import ServerNotReached, describe, fetch_status
from storage.processes import free_port
from storage.settings import load_settings

STATUS = {
    "health": {
        "status": "degraded",
        "redis_status": "disconnected",
        "postgres_status": "connected",
        "statistics": {"total_conversations": 42, "active_ai_tasks": 3, "stuck_conversations": 1},
    },
    "stats": {"actors": [{"name": "host-0", "conversations": 7}, {"name": "writer-0"}]},
    "conversations": {
        "conversations": [
            {"conversation_id": "c\x1b[2J", "owner": "host-0#1", "ai_processing": True},
            {"conversation_id": "idle", "owner": None, "waiting_messages": 0},
            {"conversation_id": "busy", "owner": None, "waiting_messages": 5, "status": "active"},
        ]
    },
}


def test_hosts_leases_and_queues_are_listed() -> None:
    text = describe(STATUS)

    assert "42 conversations, 3 turns running, 1 stuck" in text
    assert "Redis        disconnected" in text
    assert "  host-0    7\n  writer-0  -" in text
    assert "host-0#1" in text
    assert "busy" in text.partition("Messages waiting")[2]
    assert "idle" not in text


def test_no_control_character_reaches_the_terminal() -> None:
    assert "\x1b" not in describe(STATUS)


def test_nothing_is_shown_as_none() -> None:
    empty: dict[str, Any] = {"health": {}, "stats": {}, "conversations": {"conversations": []}}

    assert describe(empty).count("  none") == 3


def test_a_server_that_does_not_answer_is_said_plainly() -> None:
    with pytest.raises(ServerNotReached, match="chat-orchestrator up"):
        fetch_status(f"http://127.0.0.1:{free_port()}", "token")


def test_the_greeting_shows_no_secret_but_the_tokens_just_made() -> None:
    settings = load_settings(
        database_url="postgresql://u:hidden@h/d?password=hidden",
        redis_url="redis://:hidden@h:1/0",
        admin_access_token="hidden",
        api_host="0.0.0.0",  # noqa: S104 - not bound
    )
    text = greeting(settings, {"PANCAKE_ACCESS_TOKEN": "made"})

    assert "hidden" not in text
    assert "export PANCAKE_ACCESS_TOKEN=made" in text
    assert "Bearer made" in text
    assert "http://127.0.0.1:8000/health" in text
    assert "postgresql://h/d" in text
    assert "Bearer $PANCAKE_ACCESS_TOKEN" in greeting(settings, {})
