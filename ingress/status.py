"""``chat-orchestrator status``: what the admin API of a running server says, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx

__all__ = ["ServerNotReached", "describe", "fetch_status"]

TIMEOUT_SECONDS = 10.0
CONVERSATIONS_SHOWN = 20


class ServerNotReached(RuntimeError):
    """No running server answered as it should; the text is for a person."""


def fetch_status(api_url: str, admin_token: str) -> dict[str, Any]:
    """Ask a server for its health, statistics and latest conversations."""
    headers = {"Authorization": f"Bearer {admin_token}"}
    paths = {
        "health": "/api/v1/admin/health",
        "stats": "/api/v1/admin/stats",
        "conversations": f"/api/v1/admin/conversations?limit={CONVERSATIONS_SHOWN}",
    }
    try:
        with httpx.Client(
            base_url=api_url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
        ) as client:
            answers = {name: client.get(path) for name, path in paths.items()}
    except httpx.HTTPError as error:
        raise ServerNotReached(
            f"no server answers at {api_url} ({type(error).__name__}); "
            "start one with: chat-orchestrator up"
        ) from None
    for answer in answers.values():
        if answer.status_code in (401, 403):
            raise ServerNotReached(f"{api_url} does not take the token; set ADMIN_ACCESS_TOKEN")
        if answer.is_error:
            raise ServerNotReached(f"{answer.url.path} answers {answer.status_code}")
    return {name: answer.json() for name, answer in answers.items()}


def describe(status: Mapping[str, Any]) -> str:
    """Write a status as text: health, hosts, leases, queues."""
    health, stats = status["health"], status["stats"]
    conversations: list[Mapping[str, Any]] = status["conversations"]["conversations"]
    held = [it for it in conversations if it.get("owner")]
    waiting = [it for it in conversations if it.get("waiting_messages")]
    lines = [
        f"Health       {health.get('status')}",
        f"PostgreSQL   {health.get('postgres_status')}",
        f"Redis        {health.get('redis_status')}",
        f"Queues       {_counts_of(health.get('statistics', {}))}",
        "",
        "Hosts and other actors",
        *_table(stats.get("actors", [])),
        "",
        f"Leases among the {len(conversations)} latest conversations",
        *_table(_columns(it, "conversation_id", "owner", "ai_processing") for it in held),
        "",
        "Messages waiting",
        *_table(_columns(it, "conversation_id", "waiting_messages", "status") for it in waiting),
    ]
    return "\n".join(lines)


def _counts_of(statistics: Mapping[str, Any]) -> str:
    names = {
        "total_conversations": "conversations",
        "active_ai_tasks": "turns running",
        "stuck_conversations": "stuck",
    }
    return ", ".join(f"{statistics.get(name, 0)} {text}" for name, text in names.items())


def _columns(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lay rows out under the names of their fields."""
    listed = list(rows)
    if not listed:
        return ["  none"]
    names = list(dict.fromkeys(name for row in listed for name in row))
    cells = [names, *([_cell(row.get(name)) for name in names] for row in listed)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    return [
        "  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(value: object) -> str:
    """Write one value; control characters (an id may hold any) must not reach the terminal."""
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text)[:48]
