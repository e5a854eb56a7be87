"""Whatever an administrator changes, or tries to, is written down."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from ingress.endpoint import is_audited, operations_of
from ingress.openapi.document import path_of
from storage.admin import CancelledConversation
from tests.unit.ingress.conftest import ADMIN_TOKEN, JWT_SECRET, MESSAGES_TOKEN, World
from tests.unit.ingress.test_openapi import routes_of

BASE = "/api/v1/admin"
ADMIN_WRITES = {
    ("PUT", f"{BASE}/bots/{{bot_id}}"),
    ("DELETE", f"{BASE}/bots/{{bot_id}}"),
    ("DELETE", f"{BASE}/conversations/{{conversation_id}}"),
    ("POST", f"{BASE}/conversations/{{conversation_id}}/cancel"),
    ("POST", f"{BASE}/conversations/{{conversation_id}}/resume"),
    ("POST", f"{BASE}/dead-letters/retry"),
    ("POST", f"{BASE}/dead-letters/{{letter_id}}/retry"),
    ("POST", f"{BASE}/system/cleanup"),
    ("POST", "/admin/system/cleanup"),
}


def admin_writes(world: World) -> set[tuple[str, str]]:
    return {
        (method, path_of(route))
        for route in routes_of(world)
        for method, operation in operations_of(route).items()
        if is_audited(method, operation)
    }


async def lines_of(world: World, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", **options.pop("headers", {})}
    with capture_logs() as lines:
        await world.client.request(method, path, headers=headers, **options)
    return [dict(line) for line in lines if line["event"] == "admin_action"]


def test_the_writes_of_administrators_are_known(world: World) -> None:
    assert admin_writes(world) == ADMIN_WRITES


async def test_every_write_of_an_administrator_is_in_it(world: World) -> None:
    for method, path in sorted(ADMIN_WRITES):
        filled = path.replace("{bot_id}", "b").replace("{conversation_id}", "c")
        body: dict[str, Any] = {"json": {}} if method == "PUT" else {}
        (line,) = await lines_of(world, method, filled.replace("{letter_id}", "l"), **body)
        assert line["action"] == f"{method} {path}"
        assert line["who"] == "ADMIN_ACCESS_TOKEN"
        assert list(line["target"].values()) in ([], ["b"], ["c"], ["l"])
        assert line["outcome"] in ("done", "refused")


async def test_nothing_else_is_in_it(world: World) -> None:
    for method, path in [
        ("GET", f"{BASE}/bots"),
        ("HEAD", f"{BASE}/bots"),
        ("PATCH", f"{BASE}/bots"),
        ("GET", "/health"),
        ("POST", "/api/v1/jobs/7/cancel"),
    ]:
        assert await lines_of(world, method, path) == []


async def test_the_outcome_is_in_it(world: World) -> None:
    cancelled = CancelledConversation("c/1", 8, "job", None, None, None)
    world.store.cancellations["c/1"] = cancelled
    path = f"{BASE}/conversations/c%2F1/cancel"
    (line,) = await lines_of(world, "POST", path)
    assert (line["outcome"], line["target"]) == ("done", {"conversation_id": "c/1"})
    del world.store.cancellations["c/1"]
    (line,) = await lines_of(world, "POST", path)
    assert (line["outcome"], line["code"]) == ("refused", "not_found")
    world.store.is_away = True
    (line,) = await lines_of(world, "POST", path)
    assert (line["outcome"], line["code"]) == ("failed", "DatabaseUnavailable")


async def test_what_was_asked_for_is_in_it(world: World) -> None:
    path = f"{BASE}/system/cleanup?max_age_hours=7&dry_run=true&unknown=said"
    (line,) = await lines_of(world, "POST", path)
    assert line["query"] == {"max_age_hours": 7, "dry_run": True}


@pytest.mark.parametrize(
    ("token", "who", "code"),
    [
        ("wrong", "unknown", "unauthorized"),
        (MESSAGES_TOKEN, "PANCAKE_ACCESS_TOKEN", "forbidden"),
    ],
)
async def test_who_tries_in_vain_is_in_it(world: World, token: str, who: str, code: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    (line,) = await lines_of(world, "DELETE", f"{BASE}/bots/b", headers=headers)
    assert (line["who"], line["outcome"], line["code"]) == (who, "refused", code)
    assert token not in repr(line)


async def test_the_subject_of_a_jwt_is_in_it(world: World) -> None:
    claims = {"exp": time.time() + 60, "aud": "chat-orchestrator", "scope": "admin", "sub": "alice"}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, JWT_SECRET, 'HS256')}"}
    (line,) = await lines_of(world, "DELETE", f"{BASE}/bots/b", headers=headers)
    assert line["who"] == "jwt:alice"


async def test_no_body_is_in_it(world: World) -> None:
    body = {"ai_core": {"system_prompt": "said"}}
    (line,) = await lines_of(world, "PUT", f"{BASE}/bots/b", json=body)
    assert line["outcome"] == "done"
    assert "said" not in repr(line)
