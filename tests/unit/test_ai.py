from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.ai import AiCall, AiClient, AiFailed, AiMessage
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

GOOD = replying(200, {"response_text": "Hello"})


class Sleeper:
    """Notes how long it was to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


BOMB = gzip.compress(b"[" + b" " * 50_000_000 + b"]")


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
async def client(sleeper: Sleeper) -> AsyncIterator[AiClient]:
    client = AiClient(sleep=sleeper)
    yield client
    await client.aclose()


def call_of(bot: EffectiveBot, url: str, **changes: Any) -> AiCall:
    bot = dataclasses.replace(bot, ai_url=f"{url}/process", **changes)
    messages = [
        AiMessage("m1", "Chào", 1.5, "u1"),
        AiMessage("m2", "there", 2.5, "u1", attachments='[{"type":"image"}]'),
    ]
    context = '[{"role":"user","content":"before"}]'
    return AiCall("c1", "job", messages, context, bot, metadata='{"platform":"web"}')


async def test_what_is_asked_and_what_comes_back(client: AiClient, bot: EffectiveBot) -> None:
    body = {
        "response_text": "Xin chào",
        "intent": "greet",
        "confidence": 1,
        "entities": {"day": "Monday"},
        "model_used": "gpt-4",
        "actions": [{"type": "transfer_to_agent", "data": {}}, {"type": "dance", "data": {}}],
        "unknown": True,
    }
    async with running(replying(200, body)) as stub:
        answer = await client.answer(call_of(bot, stub.url))
    [request] = stub.requests
    assert request.target == "/process"
    assert request.headers["idempotency-key"] == "job.1"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "conversation_id": "c1",
        "job_id": "job",
        "message": "Chào\nthere",
        "messages": [
            {
                "message_id": "m1",
                "content": "Chào",
                "timestamp": 1.5,
                "sender_id": "u1",
                "attachments": [],
            },
            {
                "message_id": "m2",
                "content": "there",
                "timestamp": 2.5,
                "sender_id": "u1",
                "attachments": [{"type": "image"}],
            },
        ],
        "message_ids": ["m1", "m2"],
        "context": [{"role": "user", "content": "before"}],
        "bot": {
            "bot_id": "default",
            "name": "Default Bot",
            "model": None,
            "system_prompt": None,
            "settings": {},
        },
        "metadata": {"platform": "web"},
    }
    assert [(action.type, action.is_valid) for action in answer.actions] == [
        ("send_message", True),
        ("transfer_to_agent", True),
        ("dance", False),
    ]
    assert json.loads(answer.response_json()) == {
        "response_text": "Xin chào",
        "intent": "greet",
        "confidence": 1.0,
        "entities": {"day": "Monday"},
        "model_used": "gpt-4",
        "processing_time_ms": pytest.approx(answer.processing_time_ms, abs=0.01),
    }
    assert answer.attempts == 1
    assert answer.processing_time_ms > 0


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (replying(500, {"response_text": "no"}), "ai_error"),
        (replying(503), "ai_error"),
        (replying(429), "ai_error"),
        (silent, "ai_timeout"),
        (trickling, "ai_timeout"),
        (flooding, "ai_invalid_response"),
        (TRUNCATED, "ai_error"),
        (NOT_HTTP, "ai_error"),
        (CLOSED, "ai_error"),
        (replying(200, b""), "ai_invalid_response"),
        (replying(200, b"{'response_text': 1}"), "ai_invalid_response"),
        (replying(200, b'{"response_text": "\xff"}'), "ai_invalid_response"),
        (replying(200, b"[" * 100_000), "ai_invalid_response"),
        (replying(200, b"not gzip", Content_Encoding="gzip"), "ai_error"),
        (replying(200, b"not brotli", Content_Encoding="br"), "ai_invalid_response"),
        (replying(200, BOMB, Content_Encoding="gzip"), "ai_invalid_response"),
        (replying(204, b""), "ai_invalid_response"),
        (replying(200, ["Hello"]), "ai_invalid_response"),
        (replying(200, {}), "ai_invalid_response"),
        (replying(200, {"response_text": None}), "ai_invalid_response"),
        (replying(200, {"response_text": 5}), "ai_invalid_response"),
        (replying(200, {"response_text": "a\x00b"}), "ai_invalid_response"),
        (replying(200, {"response_text": "\ud800"}), "ai_invalid_response"),
        (replying(200, {"response_text": "x" * 262_145}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "intent": 5}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "intent": "\x00"}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "model_used": ["a"]}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "confidence": "1"}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "confidence": True}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "confidence": float("nan")}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "confidence": 10**400}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "entities": []}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "entities": {"a": "\x00"}}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "entities": {"\ud800": 1}}), "ai_invalid_response"),
        (replying(200, {"response_text": "x", "actions": {}}), "ai_invalid_response"),
    ],
)
async def test_what_may_pass_is_tried_again_and_then_fails_with_its_reason(
    client: AiClient, bot: EffectiveBot, sleeper: Sleeper, failing: Answerer, reason: str
) -> None:
    async with running(failing) as stub:
        # Only what is to take too long has little time.
        seconds = 0.3 if reason == "ai_timeout" else 10.0
        call = call_of(bot, stub.url, ai_max_attempts=2, ai_timeout_seconds=seconds)
        with pytest.raises(AiFailed) as failed:
            await client.answer(call)
        assert len(stub.requests) == 2
        stub.answerers = [failing, GOOD]
        assert (await client.answer(call)).attempts == 2
    assert failed.value.reason == reason
    assert failed.value.attempts == 2
    assert len(sleeper.slept) == 2
    assert all(0.2 <= seconds <= 0.3 for seconds in sleeper.slept)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 408, 409, 422])
async def test_other_statuses_are_not_tried_again_and_redirects_not_followed(
    client: AiClient, bot: EffectiveBot, status: int
) -> None:
    async with (
        running(GOOD) as elsewhere,
        running(replying(status, {"response_text": "no"}, Location=elsewhere.url)) as stub,
    ):
        with pytest.raises(AiFailed) as failed:
            await client.answer(call_of(bot, stub.url, ai_max_attempts=3))
    assert failed.value.reason == "ai_error"
    assert len(stub.requests) == 1
    assert elsewhere.requests == []


async def test_nobody_listening_is_an_error(
    client: AiClient, bot: EffectiveBot, closed_port: int
) -> None:
    with pytest.raises(AiFailed) as failed:
        await client.answer(call_of(bot, f"http://127.0.0.1:{closed_port}", ai_max_attempts=2))
    assert (failed.value.reason, failed.value.attempts) == ("ai_error", 2)


async def test_the_reason_is_that_of_the_last_attempt(client: AiClient, bot: EffectiveBot) -> None:
    async with running(silent, replying(500), replying(200, {})) as stub:
        call = call_of(bot, stub.url, ai_max_attempts=3, ai_timeout_seconds=0.2)
        with pytest.raises(AiFailed, match="ai_invalid_response"):
            await client.answer(call)


async def test_each_attempt_has_a_key_of_its_own_that_no_restart_repeats(
    client: AiClient, bot: EffectiveBot
) -> None:
    async with running(replying(500), replying(500), GOOD) as stub:
        call = call_of(bot, stub.url, ai_max_attempts=3)
        await client.answer(dataclasses.replace(call, first_attempt=4))
    keys = [request.headers["idempotency-key"] for request in stub.requests]
    assert keys == ["job.4", "job.5", "job.6"]


async def test_the_pause_grows(client: AiClient, bot: EffectiveBot, sleeper: Sleeper) -> None:
    async with running(replying(500)) as stub:
        with pytest.raises(AiFailed):
            await client.answer(call_of(bot, stub.url, ai_max_attempts=8))
    for number, seconds in enumerate(sleeper.slept):
        base = min(0.2 * 2**number, 5)
        assert base <= seconds <= base * 1.5


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [
        ("7", 7, 7),
        ("100000", 30, 30),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 30, 30),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0.2, 0.3),
        ("-5", 0.2, 0.3),
        ("soon", 0.2, 0.3),
    ],
)
async def test_retry_after_is_heeded_within_bounds(
    client: AiClient, bot: EffectiveBot, sleeper: Sleeper, retry_after: str, low: float, high: float
) -> None:
    async with running(replying(429, Retry_After=retry_after), GOOD) as stub:
        await client.answer(call_of(bot, stub.url, ai_max_attempts=2))
    [seconds] = sleeper.slept
    assert low <= seconds <= high


async def test_a_bad_action_does_not_make_the_answer_unusable(
    client: AiClient, bot: EffectiveBot
) -> None:
    action = {"type": "end_conversation", "data": {"reason": "\ud800", "n": float("nan")}}
    async with running(replying(200, {"response_text": "x", "actions": [action]})) as stub:
        answer = await client.answer(call_of(bot, stub.url))
    assert [(action.type, action.is_valid) for action in answer.actions] == [
        ("send_message", True),
        ("end_conversation", False),
    ]


async def test_connections_are_used_again(client: AiClient, bot: EffectiveBot) -> None:
    async with running(GOOD) as stub:
        for _ in range(3):
            await client.answer(call_of(bot, stub.url))
    assert stub.connections == 1


async def test_no_cookie_of_one_conversation_reaches_another(
    client: AiClient, bot: EffectiveBot
) -> None:
    async with running(replying(200, {"response_text": "x"}, Set_Cookie="who=c1")) as stub:
        await client.answer(call_of(bot, stub.url))
        await client.answer(call_of(bot, stub.url))
    assert "cookie" not in stub.requests[1].headers


async def test_cancelling_closes_the_connection(client: AiClient, bot: EffectiveBot) -> None:
    async with running(silent) as stub:
        task = asyncio.create_task(client.answer(call_of(bot, stub.url, ai_timeout_seconds=30.0)))
        await asyncio.wait_for(stub.received.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stub.client_gone.wait(), 5)


async def test_cancelling_while_it_reads_closes_the_connection(
    client: AiClient, bot: EffectiveBot
) -> None:
    async with running(trickling) as stub:
        task = asyncio.create_task(client.answer(call_of(bot, stub.url, ai_timeout_seconds=30.0)))
        await asyncio.wait_for(stub.received.wait(), 5)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stub.client_gone.wait(), 5)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_read_though_nobody_asked_for_it(
    client: AiClient, bot: EffectiveBot, encoding: str
) -> None:
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    body = compress(b'{"response_text": "Hello"}')
    async with running(replying(200, body, Content_Encoding=encoding)) as stub:
        answer = await client.answer(call_of(bot, stub.url))
    assert answer.response_text == "Hello"


async def test_the_log_shows_no_credentials_and_no_contents(
    client: AiClient, bot: EffectiveBot, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(replying(500, {"response_text": "secret words"})) as stub:
        url = stub.url.replace("http://", "http://user:hunter2@")
        with pytest.raises(AiFailed) as failed:
            await client.answer(call_of(bot, url))
    assert stub.requests[0].headers["authorization"].startswith("Basic ")
    printed = capsys.readouterr().out + str(failed.value)
    assert "127.0.0.1" in printed
    for hidden in ("hunter2", "secret words", "Chào", "before"):
        assert hidden not in printed
