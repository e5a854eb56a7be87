"""A slow address holds up its own callers only, who take their turns in order."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from actors.ai import AiClient, AiFailed
from actors.bulkhead import Bulkheads, origin_of
from actors.services import Services
from storage.effective_bot import EffectiveBot
from storage.settings import Settings
from tests.unit.http_stub import replying, running, silent
from tests.unit.test_ai import call_of

GOOD = replying(200, {"response_text": "Hello"})


async def _hold(bulkheads: Bulkheads, address: str, end: asyncio.Event) -> None:
    async with bulkheads.slot(address):
        await end.wait()


async def _until_users(bulkheads: Bulkheads, address: str, count: int) -> None:
    async with asyncio.timeout(5):
        while bulkheads.users(address) != count:  # noqa: ASYNC110 (nothing tells it)
            await asyncio.sleep(0)


async def test_so_many_have_a_slot_and_the_next_waits() -> None:
    bulkheads = Bulkheads(2)
    end = asyncio.Event()
    holders = [asyncio.create_task(_hold(bulkheads, "a", end)) for _ in range(3)]
    await _until_users(bulkheads, "a", 3)
    third = holders[-1]
    end.set()
    await asyncio.gather(*holders)
    assert third.done()
    assert len(bulkheads) == 0, "addresses that nobody uses are kept"


async def test_a_full_address_does_not_hold_up_another() -> None:
    bulkheads = Bulkheads(1)
    end = asyncio.Event()
    holder = asyncio.create_task(_hold(bulkheads, "slow", end))
    await _until_users(bulkheads, "slow", 1)
    async with asyncio.timeout(5), bulkheads.slot("other"):
        pass
    end.set()
    await holder


async def test_who_came_first_is_served_first() -> None:
    bulkheads = Bulkheads(1)
    order: list[int] = []

    async def take(number: int) -> None:
        async with bulkheads.slot("a"):
            order.append(number)
            await asyncio.sleep(0)

    async with bulkheads.slot("a"):
        waiting = [asyncio.create_task(take(number)) for number in range(5)]
        await _until_users(bulkheads, "a", 6)
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_who_stops_waiting_takes_no_slot_and_no_one_elses() -> None:
    bulkheads = Bulkheads(1)
    end = asyncio.Event()
    holder = asyncio.create_task(_hold(bulkheads, "a", end))
    await _until_users(bulkheads, "a", 1)
    waiting = [asyncio.create_task(_hold(bulkheads, "a", end)) for _ in range(2)]
    await _until_users(bulkheads, "a", 3)
    waiting[0].cancel()
    await _until_users(bulkheads, "a", 2)
    end.set()
    await asyncio.gather(holder, waiting[1])
    assert bulkheads.users("a") == 0


async def test_waiting_for_a_busy_ai_counts_in_no_timeout(bot: EffectiveBot) -> None:
    client = AiClient(max_concurrency=1)
    async with running(silent, GOOD) as stub:
        first = call_of(bot, stub.url, ai_timeout_seconds=0.4, ai_max_attempts=1)
        second = call_of(bot, stub.url, ai_timeout_seconds=30.0)
        failing = asyncio.create_task(client.answer(first))
        await stub.received.wait()
        answering = asyncio.create_task(client.answer(second))
        with pytest.raises(AiFailed):
            await failing
        answer = await answering
    await client.aclose()
    assert answer.attempts == 1
    assert answer.processing_time_ms is not None
    assert answer.processing_time_ms < 30_000


async def test_a_call_that_waits_for_a_busy_ai_can_be_abandoned(bot: EffectiveBot) -> None:
    client = AiClient(max_concurrency=1)
    async with running(silent) as stub:
        holding = asyncio.create_task(client.answer(call_of(bot, stub.url)))
        await stub.received.wait()
        waiting = asyncio.create_task(client.answer(call_of(bot, stub.url)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()
        assert len(stub.requests) == 1
        holding.cancel()
        await asyncio.wait([holding], timeout=5)
    await client.aclose()


async def test_a_slow_ai_holds_up_no_bot_of_another(bot: EffectiveBot) -> None:
    client = AiClient(max_concurrency=1)
    async with running(silent) as slow, running(GOOD) as quick:
        stuck = [asyncio.create_task(client.answer(call_of(bot, slow.url))) for _ in range(20)]
        await slow.received.wait()
        async with asyncio.timeout(10):
            answers = [await client.answer(call_of(bot, quick.url)) for _ in range(3)]
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck, timeout=5)
    await client.aclose()
    assert [it.response_text for it in answers] == ["Hello"] * 3


async def test_all_paths_of_a_server_are_one_platform(
    settings: Settings, bot: EffectiveBot
) -> None:
    services = Services(settings.model_copy(update={"delivery_max_concurrency": 1}))
    one = dataclasses.replace(bot, platform_url="http://platform.example/a")
    two = dataclasses.replace(bot, platform_url="http://platform.example/b")
    other = dataclasses.replace(bot, platform_url="http://platform.example:81/a")
    async with asyncio.timeout(5), services.platform_slot(one), services.platform_slot(other):
        waiting = asyncio.create_task(services.platform_slot(two).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    await services.aclose()
    assert origin_of("http://platform.example/a?b") == "http://platform.example"
