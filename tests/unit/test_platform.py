from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import AsyncIterator

import pytest

from actors.actions import Action, send_message
from actors.platform import (
    PlatformClient,
    delivery_backoff_seconds,
    delivery_body,
)
from storage.delivery_records import DeliveryResult
from storage.effective_bot import EffectiveBot
from tests.unit.http_stub import (
    CLOSED,
    NOT_HTTP,
    TRUNCATED,
    Answerer,
    flooding,
    replying,
    running,
    silent,
    trickling,
)

BODY = '{"job_id":"job","note":"ạ"}'


@pytest.fixture
async def client() -> AsyncIterator[PlatformClient]:
    client = PlatformClient("token-1", timeout_seconds=0.3)
    yield client
    await client.aclose()


def at(bot: EffectiveBot, url: str) -> EffectiveBot:
    return dataclasses.replace(bot, platform_url=f"{url}/api/v1/actions")


async def test_the_body_is_sent_as_it_is_with_key_and_token(
    client: PlatformClient, bot: EffectiveBot
) -> None:
    async with running(replying(200, {"success": True, "actions_executed": 2})) as stub:
        attempt = await client.deliver("job", BODY, at(bot, stub.url))
    [request] = stub.requests
    assert attempt.result is DeliveryResult.SENT
    assert attempt.actions_executed == 2
    assert request.target == "/api/v1/actions"
    assert request.body == json.loads(BODY)
    assert request.headers["idempotency-key"] == "job"
    assert request.headers["authorization"] == "Bearer token-1"


async def test_what_the_address_says_comes_before_the_token(
    client: PlatformClient, bot: EffectiveBot
) -> None:
    async with running(replying(200, {})) as stub:
        address = at(bot, stub.url.replace("http://", "http://us%C3%A9r:a%2Fb@"))
        await client.deliver("job", BODY, address)
    given = base64.b64encode("usér:a/b".encode()).decode()
    assert stub.requests[0].headers["authorization"] == f"Basic {given}"


async def test_without_a_token_there_is_no_authorization(bot: EffectiveBot) -> None:
    client = PlatformClient(None)
    async with running(replying(200, {})) as stub:
        await client.deliver("job", BODY, at(bot, stub.url))
    await client.aclose()
    assert "authorization" not in stub.requests[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        replying(200, {}),
        replying(201, {"success": True}),
        replying(202, b""),
        replying(204, b""),
        replying(200, b"ok"),
        replying(200, b"not brotli", Content_Encoding="br"),
        replying(200, ["success", False]),
        replying(200, {"success": None}),
        replying(200, {"success": True, "actions_executed": "2"}),
        replying(200, {"success": True, "actions_executed": True}),
        replying(200, {"success": True, "actions_executed": -1}),
        replying(200, {"success": True, "actions_executed": 10**12}),
        flooding,
    ],
)
async def test_any_2xx_is_a_success_unless_it_says_otherwise(
    client: PlatformClient, bot: EffectiveBot, answer: Answerer
) -> None:
    async with running(answer) as stub:
        attempt = await client.deliver("job", BODY, at(bot, stub.url))
    assert attempt.result is DeliveryResult.SENT
    assert attempt.actions_executed is None
    assert attempt.error is None


@pytest.mark.parametrize(
    "answer",
    [
        replying(200, {"success": False}),
        replying(408),
        replying(429),
        replying(500),
        replying(503),
        replying(599),
        silent,
        trickling,
        TRUNCATED,
        NOT_HTTP,
        CLOSED,
    ],
)
async def test_what_may_pass_is_to_be_tried_again(
    client: PlatformClient, bot: EffectiveBot, answer: Answerer
) -> None:
    async with running(answer) as stub:
        attempt = await client.deliver("job", BODY, at(bot, stub.url))
    assert attempt.result is DeliveryResult.RETRY
    assert attempt.error
    assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 409, 410, 422])
async def test_other_answers_end_it(client: PlatformClient, bot: EffectiveBot, status: int) -> None:
    async with (
        running(replying(200, {})) as elsewhere,
        running(replying(status, {}, Location=elsewhere.url)) as stub,
    ):
        attempt = await client.deliver("job", BODY, at(bot, stub.url))
    assert attempt.result is DeliveryResult.DEAD
    assert attempt.error == f"status {status}"
    assert elsewhere.requests == []


async def test_nobody_listening_is_to_be_tried_again(
    client: PlatformClient, bot: EffectiveBot, closed_port: int
) -> None:
    attempt = await client.deliver("job", BODY, at(bot, f"http://127.0.0.1:{closed_port}"))
    assert attempt.result is DeliveryResult.RETRY


@pytest.mark.parametrize(("asked", "given"), [("7", 7.0), ("86400", 300.0)])
async def test_what_the_platform_asks_for_is_handed_on_within_bounds(
    client: PlatformClient, bot: EffectiveBot, asked: str, given: float
) -> None:
    async with running(replying(503, Retry_After=asked)) as stub:
        attempt = await client.deliver("job", BODY, at(bot, stub.url))
    assert attempt.retry_after_seconds == given


def test_the_body_holds_what_was_decided_and_only_valid_actions() -> None:
    body = delivery_body(
        conversation_id="c1",
        ai_response='{"response_text":"Chào"}',
        actions=[send_message("Chào"), Action("dance", "{}", "unknown action type")],
        timestamp=12.5,
        lock_id="lock",
        job_id="job",
        message_ids=["m1", "m2"],
    )
    assert json.loads(body) == {
        "conversation_id": "c1",
        "ai_response": {"response_text": "Chào"},
        "actions": [{"type": "send_message", "data": {"message": "Chào"}}],
        "timestamp": 12.5,
        "distributed_lock_id": "lock",
        "job_id": "job",
        "message_ids": ["m1", "m2"],
    }


def test_a_fallback_has_no_ai_response() -> None:
    body = delivery_body(
        conversation_id="c1",
        ai_response=None,
        actions=[send_message("Sorry")],
        timestamp=0,
        lock_id="lock",
        job_id="job",
        message_ids=["m1"],
    )
    assert json.loads(body)["ai_response"] is None


def test_the_wait_doubles_up_to_a_minute_and_is_spread() -> None:
    assert [delivery_backoff_seconds(attempts, 0) for attempts in (1, 2, 3)] == [0.5, 1, 2]
    assert delivery_backoff_seconds(1, 1) == 0.75
    assert delivery_backoff_seconds(10**6, 1) == 60
