from __future__ import annotations

import dataclasses
import json
import time

import pytest

from actors.ai import AiCall, AiMessage
from actors.services import Services
from actors.simulated import MAX_DELIVERIES, SimulatedAi, SimulatedPlatform
from storage.delivery_records import DeliveryResult
from storage.effective_bot import EffectiveBot
from storage.settings import Settings
from tests.unit.http_stub import replying, running


def call_of(bot: EffectiveBot, *contents: str) -> AiCall:
    messages = [
        AiMessage(f"m{number}", content, float(number), "u1")
        for number, content in enumerate(contents)
    ]
    return AiCall("c1", "job", messages, "[]", bot)


async def test_it_says_back_what_it_was_told_and_how_much(bot: EffectiveBot) -> None:
    ai = SimulatedAi(0)
    one = await ai.answer(call_of(bot, "Tôi muốn đặt lịch"))
    three = await ai.answer(call_of(bot, "one", "two", "three"))
    assert "Tôi muốn đặt lịch" in one.response_text
    assert "3 messages" in three.response_text
    assert [action.type for action in three.actions] == ["send_message"]
    assert json.loads(three.response_json())["model_used"] == "simulated"


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("May I talk to an AGENT?", "transfer_to_agent"),
        ("Cho tôi gặp nhân viên", "transfer_to_agent"),
        ("ok bye!", "end_conversation"),
        ("Tạm biệt", "end_conversation"),
        ("agentic maybe", None),
        ("", None),
    ],
)
async def test_a_few_words_make_it_act(bot: EffectiveBot, text: str, action: str | None) -> None:
    answer = await SimulatedAi(0).answer(call_of(bot, text))
    assert [one.type for one in answer.actions] == ["send_message"] + ([action] if action else [])
    assert all(one.is_valid for one in answer.actions)


async def test_a_long_text_is_cut(bot: EffectiveBot) -> None:
    answer = await SimulatedAi(0).answer(call_of(bot, "x" * 30_000, "y" * 30_000))
    assert len(answer.response_text) < 1200


async def test_it_takes_its_time(bot: EffectiveBot) -> None:
    started = time.monotonic()
    answer = await SimulatedAi(0.05).answer(call_of(bot, "x"))
    assert time.monotonic() - started >= 0.05
    assert answer.processing_time_ms >= 50


async def test_the_platform_keeps_the_latest_deliveries(bot: EffectiveBot) -> None:
    platform = SimulatedPlatform()
    for number in range(MAX_DELIVERIES + 5):
        attempt = await platform.deliver(f"job-{number}", json.dumps({"n": number}), bot)
        assert attempt.result is DeliveryResult.SENT
    kept = platform.deliveries()
    assert len(kept) == MAX_DELIVERIES
    assert kept[0]["idempotency_key"] == f"job-{MAX_DELIVERIES + 4}"
    assert kept[0]["body"] == {"n": MAX_DELIVERIES + 4}
    assert isinstance(kept[0]["received_at"], float)
    assert len(platform.deliveries(limit=3)) == 3


async def test_deliveries_of_an_erased_conversation_are_forgotten(bot: EffectiveBot) -> None:
    platform = SimulatedPlatform()
    for number, conversation_id in enumerate(("a", "b", "a")):
        body = json.dumps({"conversation_id": conversation_id})
        await platform.deliver(f"job-{number}", body, bot)
    platform.erase("a")
    assert [it["idempotency_key"] for it in platform.deliveries()] == ["job-1"]
    platform.erase("b")
    assert (platform.deliveries(), platform._size_bytes) == ([], 0)


async def test_large_deliveries_do_not_fill_the_memory(bot: EffectiveBot) -> None:
    platform = SimulatedPlatform()
    body = json.dumps("x" * 1_000_000)
    for number in range(50):
        await platform.deliver(str(number), body, bot)
    assert len(platform.deliveries()) == 33


async def test_each_bot_goes_where_it_has_an_address_and_else_to_the_simulated_ones(
    settings: Settings, bot: EffectiveBot
) -> None:
    quick = settings.model_copy(update={"simulated_ai_seconds": 0.0})
    services = Services(quick)
    async with running(replying(200, {"response_text": "real"})) as stub:
        real = dataclasses.replace(bot, ai_url=stub.url, platform_url=stub.url)
        assert (await services.answer(call_of(real, "x"))).response_text == "real"
        await services.deliver("job-1", "{}", real)
        assert (await services.answer(call_of(bot, "x"))).model_used == "simulated"
        await services.deliver("job-2", "{}", bot)
    await services.aclose()
    keys = [delivery["idempotency_key"] for delivery in services.simulated_platform.deliveries()]
    assert keys == ["job-2"]
    assert len(stub.requests) == 2
