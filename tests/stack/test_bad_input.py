"""What cannot be taken is refused by name, is not stored, and disturbs nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.stack.ask import CHAT, ENHANCED, message, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import ADMIN_TOKEN, MESSAGES_TOKEN, Server
from tests.stack.stubs import Stubs

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1024 * 1024


def _refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    body: dict[str, Any] = response.json()
    assert body["success"] is False
    assert body["status"] == "error"
    assert body["code"] == code
    assert isinstance(body["error"], str)
    assert body["error"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return body


def _with(path: str, field: str, raw: str) -> str:
    """Return a good body, as text, in which a field has this JSON text."""
    body: dict[str, Any] = message("bad", "fine", metadata={"a": "b"}, attachments=[{"a": "b"}])
    if path == CHAT:
        body = {"history": "<USER>fine</USER>", "conversation_id": "bad", "resources": {"a": "b"}}
    return json.dumps({**body, field: "<<here>>"}).replace('"<<here>>"', raw)


UNSTORABLE = [
    ('"a\\u0000b"', "U+0000"),
    ('"a\\ud800b"', "surrogate"),
    ('"\\udfff"', "surrogate"),
    ("1e400", "finite"),
    ("-1e400", "finite"),
    ("NaN", "finite"),
    ("Infinity", "finite"),
    ("1" + "0" * 5000, "finite"),
    ('{"a\\u0000": 1}', "U+0000"),
    ('{"a": {"b": [1, "\\ud800"]}}', "surrogate"),
    ("[" * 10_000 + "]" * 10_000, "deep"),
    ('{"a":' * 40 + "1" + "}" * 40, "deep"),
]
PLACES = [
    (ENHANCED, "conversation_id"),
    (ENHANCED, "message_content"),
    (ENHANCED, "timestamp"),
    (ENHANCED, "metadata"),
    (ENHANCED, "attachments"),
    (ENHANCED, "something_else"),
    (CHAT, "conversation_id"),
    (CHAT, "history"),
    (CHAT, "resources"),
]


@pytest.mark.parametrize(("path", "field"), PLACES)
@pytest.mark.parametrize(
    ("raw", "problem"), UNSTORABLE, ids=[it[0][:12].strip('"\\') for it in UNSTORABLE]
)
async def test_what_cannot_be_stored_is_refused_wherever_it_stands(
    client: httpx.AsyncClient, inside: Inside, path: str, field: str, raw: str, problem: str
) -> None:
    body = _refused(
        await client.post(path, content=_with(path, field, raw), headers=JSON),
        422,
        "validation_error",
    )
    assert body["details"][0]["field"].split(".")[0] in (field, "")
    assert problem in json.dumps(body["details"])


WRONG: list[tuple[str, str, list[Any]]] = [
    (ENHANCED, "conversation_id", [None, 5, True, [], {}, "", "x" * 256]),
    (ENHANCED, "message_id", [None, 5, True, [], {}, "", "x" * 256]),
    (ENHANCED, "message_content", [None, 5, True, [], {}, "x" * 32_769]),
    (ENHANCED, "sender_id", [None, 5, True, [], {}, "", "x" * 256]),
    (ENHANCED, "sender_type", [None, 5, True, [], {}, "", "robot", "USER"]),
    (ENHANCED, "timestamp", [None, "5", True, [], {}, -1, -0.001, 253402300800, 1e18]),
    (ENHANCED, "metadata", [5, True, [], "x"]),
    (ENHANCED, "attachments", [5, True, {}, "x", [5], ["x"], [None]]),
    (CHAT, "conversation_id", [5, True, [], {}, "", "x" * 256]),
    (CHAT, "history", [None, 5, True, [], {}, ""]),
    (CHAT, "resources", [5, True, [], "x"]),
]


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [(path, field, value) for path, field, values in WRONG for value in values],
)
async def test_a_wrong_type_or_bound_is_refused_by_name(
    client: httpx.AsyncClient, path: str, field: str, value: Any
) -> None:
    content = _with(path, field, json.dumps(value))
    body = _refused(await client.post(path, content=content, headers=JSON), 422, "validation_error")
    assert body["details"][0]["field"].split(".")[0] == field
    assert body["details"][0]["problem"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *((ENHANCED, it) for it in message("a") if it not in ("metadata", "attachments")),
        (CHAT, "history"),
    ],
)
async def test_a_missing_field_is_refused_by_name(
    client: httpx.AsyncClient, path: str, field: str
) -> None:
    document = json.loads(_with(path, "message_id", '"m"'))
    del document[field]
    body = _refused(await client.post(path, json=document), 422, "validation_error")
    assert [it["field"] for it in body["details"]] == [field]


@pytest.mark.parametrize("path", [ENHANCED, CHAT])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b'{"a": "\xff\xfe"}',
        b"\xff",
        b"{}x",
    ],
)
async def test_what_is_no_json_object_is_refused(
    client: httpx.AsyncClient, path: str, content: bytes
) -> None:
    _refused(await client.post(path, content=content, headers=JSON), 400, "invalid_json")


async def _chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"padding": "'
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b'"}'


@pytest.mark.parametrize("path", [ENHANCED, CHAT])
@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_long_is_refused(
    client: httpx.AsyncClient, path: str, is_declared: bool
) -> None:
    content: Any = b"x" * (2 * MEBIBYTE) if is_declared else _chunks(2 * MEBIBYTE)
    _refused(await client.post(path, content=content, headers=JSON), 413, "body_too_large")


async def test_a_body_of_almost_a_mebibyte_is_taken(
    client: httpx.AsyncClient, conversation_id: str
) -> None:
    result = await say(client, conversation_id, metadata={"padding": "x" * (MEBIBYTE - 2000)})
    assert result["status"] == "completed"


@pytest.mark.parametrize("path", [ENHANCED, CHAT])
@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data"])
async def test_another_content_type_is_refused(
    client: httpx.AsyncClient, path: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    content = _with(path, "something_else", "1").encode()
    response = await client.post(path, content=content, headers=headers)
    _refused(response, 415, "unsupported_media_type")


ADMIN_PATHS = [
    ("GET", "/api/v1/admin/conversations"),
    ("GET", "/api/v1/admin/conversations/x"),
    ("POST", "/api/v1/admin/conversations/x/cancel"),
    ("POST", "/api/v1/admin/conversations/x/resume"),
    ("GET", "/api/v1/admin/health"),
    ("GET", "/api/v1/admin/stats"),
    ("POST", "/api/v1/admin/system/cleanup"),
    ("POST", "/admin/system/cleanup"),
    ("GET", "/api/v1/admin/bots"),
    ("PUT", "/api/v1/admin/bots/x"),
    ("DELETE", "/api/v1/admin/bots/x"),
    ("GET", "/api/v1/admin/deliveries"),
]
MESSAGE_PATHS = [
    ("POST", ENHANCED),
    ("POST", CHAT),
    ("GET", "/api/v1/jobs/5f0cbd2d-6a30-4d9c-9f35-1a9f2a0a2a11"),
    ("POST", "/api/v1/jobs/5f0cbd2d-6a30-4d9c-9f35-1a9f2a0a2a11/cancel"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_PATHS + MESSAGE_PATHS)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN]
)
async def test_bad_credentials_are_refused(
    server: Server, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(base_url=server.url) as nobody:
        response = await nobody.request(method, path, headers=headers)
    _refused(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ADMIN_PATHS)
async def test_the_messages_token_is_no_admin(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    _refused(await client.request(method, path), 403, "forbidden")


async def test_the_admin_token_may_send_messages(
    admin: httpx.AsyncClient, conversation_id: str
) -> None:
    assert (await say(admin, conversation_id))["status"] == "completed"


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1/nothing", "/api/v1/jobs", "/api/v2/chat/message", "/%00", "//"]
)
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    _refused(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", ENHANCED, {"POST"}),
        ("DELETE", CHAT, {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("POST", "/api/v1/admin/stats", {"GET", "HEAD"}),
        ("PATCH", "/api/v1/admin/bots/x", {"GET", "HEAD", "PUT", "DELETE"}),
    ],
)
async def test_another_method_is_not_allowed(
    admin: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    response = await admin.request(method, path)
    _refused(response, 405, "method_not_allowed")
    assert {it.strip() for it in response.headers["allow"].split(",")} - {"HEAD"} == allowed - {
        "HEAD"
    }


@pytest.mark.parametrize(
    ("sent", "is_echoed"),
    [("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("a\tb", False), ("", False)],
)
async def test_the_request_id_is_echoed_if_it_is_fit_to(
    client: httpx.AsyncClient, sent: str, is_echoed: bool
) -> None:
    for path in ("/health", "/nowhere"):
        response = await client.get(path, headers={"X-Request-ID": sent})
        got = response.headers["x-request-id"]
        assert got
        assert (got == sent) is is_echoed


async def test_nothing_of_it_is_stored_and_a_running_conversation_goes_on(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str, inside: Inside
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    stored = await inside.count_messages()
    bodies = [
        (path, _with(path, field, raw)) for raw, _ in UNSTORABLE for path, field in PLACES
    ] + [(ENHANCED, "x" * (2 * MEBIBYTE)), (CHAT, "[" * 100_000), (ENHANCED, "{")]
    responses = await asyncio.gather(
        *(client.post(path, content=content, headers=JSON) for path, content in bodies)
    )
    assert {it.status_code for it in responses} == {400, 413, 422}
    assert await inside.count_messages() == stored
    # Bad messages for the very conversation that is running.
    bad = [
        {**message(conversation_id), "timestamp": "now"},
        {**message(conversation_id), "metadata": {"bot_id": 5}},
    ]
    for body in bad:
        _refused(await client.post(ENHANCED, json=body), 422, "validation_error")
    assert not turn.caller.done()
    turn.finish()
    assert (await turn.caller)["status"] == "completed"
    assert len(await inside.messages(conversation_id)) == 2


async def test_errors_do_not_quote_what_was_sent(client: httpx.AsyncClient) -> None:
    secret = "private-words-of-a-person"
    body = {**message("bad", secret * 2000), "sender_type": secret}
    response = await client.post(ENHANCED, json=body)
    _refused(response, 422, "validation_error")
    assert secret not in response.text
    assert MESSAGES_TOKEN not in response.text
