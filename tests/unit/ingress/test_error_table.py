"""Every row of the API's error table."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from ingress.ports import Overloaded, StorageUnavailable
from storage.postgres import DatabaseUnavailable
from storage.records import AcceptOutcome
from tests.unit.ingress.conftest import (
    ADMIN_TOKEN,
    CHAT,
    ENHANCED,
    MAX_BODY_BYTES,
    MESSAGES_TOKEN,
    World,
)

JSON = {"Authorization": f"Bearer {MESSAGES_TOKEN}", "Content-Type": "application/json"}


def expect_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"success", "status", "error", "code", "details", "request_id"}
    assert body["success"] is False
    assert body["status"] == "error"
    assert body["code"] == code
    assert body["error"]
    assert isinstance(body["details"], list)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"a":1,}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
    ],
)
async def test_a_body_that_is_no_json_object_is_400(world: World, content: bytes) -> None:
    answer = await world.client.post(ENHANCED, content=content, headers=JSON)
    expect_error(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("conversation_id", ""),
        ("conversation_id", "x" * 256),
        ("conversation_id", 7),
        ("conversation_id", None),
        ("message_id", "x" * 256),
        ("message_content", "x" * 32_769),
        ("message_content", None),
        ("sender_id", ""),
        ("sender_type", "robot"),
        ("timestamp", -1),
        ("timestamp", 253402300800),
        ("timestamp", "1699123456"),
        ("timestamp", True),
        ("timestamp", None),
        ("metadata", []),
        ("attachments", {}),
        ("attachments", [1]),
    ],
)
async def test_a_bad_field_is_422_and_named(
    world: World, enhanced_body: dict[str, Any], field: str, value: object
) -> None:
    answer = await world.post(ENHANCED, {**enhanced_body, field: value})
    body = expect_error(answer, 422, "validation_error")
    assert body["details"][0]["field"].split(".")[0] == field
    assert body["details"][0]["problem"]
    assert world.gateway.accepted == []


async def test_all_missing_fields_are_named(world: World) -> None:
    body = expect_error(await world.post(ENHANCED, {}), 422, "validation_error")
    assert {item["field"] for item in body["details"]} == {
        "conversation_id",
        "message_id",
        "message_content",
        "sender_id",
        "sender_type",
        "timestamp",
    }


async def test_a_field_is_named_by_its_dotted_path(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    answer = await world.post(ENHANCED, {**enhanced_body, "metadata": {"bot_id": 5}})
    body = expect_error(answer, 422, "validation_error")
    assert body["details"][0]["field"] == "metadata.bot_id"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_413(world: World, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1000 + 1):
            yield b" " * 1000

    content: Any = b" " * (MAX_BODY_BYTES + 1) if declared else chunks()
    answer = await world.client.post(ENHANCED, content=content, headers=JSON)
    expect_error(answer, 413, "body_too_large")


async def test_a_body_at_the_limit_is_taken(world: World, enhanced_body: dict[str, Any]) -> None:
    enhanced_body["padding"] = ""
    size = len(httpx.Request("POST", "http://x", json=enhanced_body).content)
    enhanced_body["padding"] = "x" * (MAX_BODY_BYTES - size)
    assert (await world.post(ENHANCED, enhanced_body)).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None]
)
async def test_another_content_type_is_415(world: World, content_type: str | None) -> None:
    headers = {"Authorization": JSON["Authorization"]}
    if content_type:
        headers["Content-Type"] = content_type
    answer = await world.client.post(ENHANCED, content=b"{}", headers=headers)
    expect_error(answer, 415, "unsupported_media_type")


async def test_a_compressed_body_is_415(world: World) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    answer = await world.client.post(ENHANCED, content=b"{}", headers=headers)
    expect_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"],
)
async def test_every_json_content_type_is_taken(world: World, content_type: str) -> None:
    headers = {**JSON, "Content-Type": content_type}
    answer = await world.client.post(ENHANCED, content=b"{}", headers=headers)
    assert answer.status_code == 422


async def test_a_post_without_body_needs_no_content_type(world: World) -> None:
    answer = await world.post("/api/v1/admin/system/cleanup")
    assert answer.status_code == 200


async def test_a_post_that_takes_no_body_still_checks_one(world: World) -> None:
    path = "/api/v1/admin/system/cleanup"
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "text/plain"}
    answer = await world.client.post(path, content=b"text", headers=headers)
    expect_error(answer, 415, "unsupported_media_type")
    headers["Content-Type"] = "application/json"
    answer = await world.client.post(path, content=b" " * (MAX_BODY_BYTES + 1), headers=headers)
    expect_error(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", f"Token {MESSAGES_TOKEN}"],
)
async def test_no_or_bad_credentials_are_401(world: World, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await world.client.post(ENHANCED, json={}, headers=headers)
    expect_error(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_credentials_without_the_scope_are_403(world: World) -> None:
    expect_error(await world.get("/api/v1/admin/health", MESSAGES_TOKEN), 403, "forbidden")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
@pytest.mark.parametrize("path", ["/nowhere", "/", "/api/v1/jobs/", "/health/", "/api/v1/admin"])
async def test_an_unknown_path_is_404_for_every_method(
    world: World, path: str, method: str
) -> None:
    expect_error(await world.client.request(method, path), 404, "not_found")


async def test_an_unknown_object_is_404(world: World) -> None:
    for path in (f"jobs/{uuid.uuid4()}", "jobs/x", "admin/conversations/x", "admin/bots/x"):
        expect_error(await world.get(f"/api/v1/{path}"), 404, "not_found")


async def test_another_method_is_405_with_allow(world: World) -> None:
    answer = await world.client.get(ENHANCED)
    expect_error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = await world.client.post("/api/v1/admin/bots/x")
    expect_error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"


async def test_a_head_is_answered_like_a_get(world: World) -> None:
    assert (await world.client.head("/health")).status_code == 200


async def test_requests_over_the_rate_limit_are_429(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    async with world.client_with(rate_limit="2/minute") as client:
        headers = {"Authorization": f"Bearer {MESSAGES_TOKEN}"}
        answers = [
            await client.post(ENHANCED, json=enhanced_body, headers=headers) for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        expect_error(answers[2], 429, "rate_limited")
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
        other = await client.get(
            "/api/v1/admin/stats", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        )
        assert other.status_code == 200
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageUnavailable("x"), "storage_unavailable"),
        (DatabaseUnavailable("x"), "storage_unavailable"),
        (Overloaded("x"), "overloaded"),
    ],
)
@pytest.mark.parametrize("path", [ENHANCED, CHAT])
async def test_what_is_not_stored_is_503_and_may_be_sent_again(
    world: World, enhanced_body: dict[str, Any], path: str, error: Exception, code: str
) -> None:
    world.gateway.accept_error = error
    answer = await world.post(path, {**enhanced_body, "history": "<USER>hi</USER>"})
    expect_error(answer, 503, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert world.gateway.routed == []


async def test_a_row_that_cannot_be_stored_is_422(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.answer = {"outcome": AcceptOutcome.REFUSED, "error": "the key is too long"}
    body = expect_error(await world.post(ENHANCED, enhanced_body), 422, "validation_error")
    assert body["details"] == [{"field": "", "problem": "the key is too long"}]


async def test_a_bug_is_500_without_a_word_of_what_was_said(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.gateway.accept_error = KeyError("Tôi muốn")
    with capture_logs() as logs:
        answer = await world.post(ENHANCED, enhanced_body)
    body = expect_error(answer, 500, "internal_error")
    assert body["error"] == "Internal error"
    assert "Tôi" not in answer.text
    assert "Tôi" not in repr(logs)
    assert any(entry["event"] == "unexpected_error" for entry in logs)


async def test_checks_come_in_a_stable_order(world: World) -> None:
    content = b"\xff" * (MAX_BODY_BYTES + 1)

    async def post(path: str, content_type: str = "text/plain", **headers: str) -> int:
        merged = {"Content-Type": content_type, **headers}
        answer = await world.client.post(path, content=content, headers=merged)
        return answer.status_code

    token = JSON["Authorization"]
    assert await post("/nowhere") == 404
    assert await post("/health") == 405
    assert await post(ENHANCED) == 401
    assert await post(ENHANCED, Authorization=token) == 415
    assert await post(ENHANCED, "application/json", Authorization=token) == 413


async def test_a_request_id_is_echoed(world: World) -> None:
    answer = await world.client.get("/health", headers={"X-Request-ID": "abc 123"})
    assert answer.headers["x-request-id"] == "abc 123"


@pytest.mark.parametrize("given", ["x" * 129, "", b"tab\there", b"caf\xe9"])
async def test_an_unfit_request_id_is_replaced(world: World, given: str | bytes) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"X-Request-ID", given if isinstance(given, bytes) else given.encode())
    ]
    answer = await world.client.get("/health", headers=headers)
    uuid.UUID(answer.headers["x-request-id"])


async def test_the_log_has_a_line_a_request_and_no_secret(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        await world.post(ENHANCED, enhanced_body)
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert line["status"] == 200
    assert line["method"] == "POST"
    assert line["path"] == ENHANCED
    assert ADMIN_TOKEN not in repr(logs)
    assert "Tôi" not in repr(logs)
