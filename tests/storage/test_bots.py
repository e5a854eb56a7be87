from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.bot_config import BotConfigService
from storage import bot_rows
from storage.bot_rows import TooManyBots, delete_bot, get_bot, list_bots, put_bot
from storage.bots import DEFAULT_BOT, Bot
from storage.postgres import Database
from storage.settings import Settings

FULL: dict[str, Any] = {
    "bot_id": "sales",
    "name": "Bán hàng",
    "enabled": False,
    "busy_policy": "restart",
    "debounce_ms": 500,
    "debounce_max_ms": 2000,
    "context_messages": 0,
    "fallback_message": "Xin lỗi",
    "yield_to_agent": False,
    "after_transfer": "continue",
    "handoff_timeout_minutes": 1.5,
    "ai_core": {
        "url": "https://ai.example.com",
        "path": "/v2",
        "model": "large",
        "system_prompt": "Be kind.",
        "timeout_seconds": 12.5,
        "max_attempts": 2,
        "settings": {"temperature": 0.2, "stop": ["\n"], "text": "\\u0000"},
    },
    "platform": {"base_url": "https://chat.example.com", "path": "/hook"},
    "overrides": {"production": {"busy_policy": "merge", "ai_core": {"model": "small"}}},
}


def made(**fields: Any) -> Bot:
    return Bot.model_validate({"bot_id": "sales", **fields})


async def count(database: Database, table: str) -> int:
    statement = f"select count(*) as rows from {table}"  # noqa: S608 - a table of this file
    row = await database.fetch_one(statement)
    assert row is not None
    return int(row["rows"])


async def test_a_bot_comes_back_as_it_was_put(database: Database) -> None:
    bot = Bot.model_validate(FULL)
    await put_bot(database, bot)
    for stored in (await get_bot(database, "sales"), *await list_bots(database)):
        assert stored is not None
        assert stored.as_json() == FULL


async def test_put_replaces_the_whole_bot_and_leaves_nothing_behind(database: Database) -> None:
    await put_bot(database, Bot.model_validate(FULL))
    await put_bot(database, made())
    stored = await get_bot(database, "sales")
    assert stored is not None
    assert stored.as_json() == made().as_json()
    for table in ("bots", "ai_cores", "platforms"):
        assert await count(database, table) == 1


async def test_delete_leaves_nothing_behind_and_says_whether_it_was_there(
    database: Database,
) -> None:
    await put_bot(database, Bot.model_validate(FULL))
    assert await delete_bot(database, "sales")
    assert not await delete_bot(database, "sales")
    assert await get_bot(database, "sales") is None
    for table in ("bots", "ai_cores", "platforms"):
        assert await count(database, table) == 0


async def test_parts_that_bots_share_are_kept_for_the_other(database: Database) -> None:
    await put_bot(database, Bot.model_validate(FULL))
    await put_bot(database, made(bot_id="support"))
    await database.fetch(
        "update bots set ai_core_id = (select ai_core_id from bots where bot_id = 'sales'),"
        " platform_id = (select platform_id from bots where bot_id = 'sales')"
        " where bot_id = 'support'"
    )
    await delete_bot(database, "sales")
    support = await get_bot(database, "support")
    assert support is not None
    assert support.ai_core.model == "large"
    assert support.platform.path == "/hook"


async def test_the_built_in_bot_is_there_until_it_is_replaced(database: Database) -> None:
    assert await get_bot(database, "default") == DEFAULT_BOT
    assert await list_bots(database) == []
    await put_bot(database, made(bot_id="default", name="Ours"))
    replaced = await get_bot(database, "default")
    assert replaced is not None
    assert replaced.name == "Ours"
    await delete_bot(database, "default")
    assert await get_bot(database, "default") == DEFAULT_BOT


async def test_many_puts_at_once_leave_one_whole_bot(database: Database) -> None:
    bots = [
        made(name=f"n{number}", ai_core={"model": f"n{number}"}, platform={"path": f"/n{number}"})
        for number in range(8)
    ]
    await asyncio.gather(*(put_bot(database, bot) for bot in bots))
    stored = await get_bot(database, "sales")
    assert stored is not None
    assert stored in bots
    for table in ("bots", "ai_cores", "platforms"):
        assert await count(database, table) == 1


@pytest.mark.parametrize("bot_id", ["a/b?c#d", "Bán hàng", "'; drop table bots; --", "x" * 255])
async def test_an_id_may_be_any_text(database: Database, bot_id: str) -> None:
    await put_bot(database, made(bot_id=bot_id))
    stored = await get_bot(database, bot_id)
    assert stored is not None
    assert stored.bot_id == bot_id
    assert await delete_bot(database, bot_id)


async def test_the_number_of_bots_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_rows, "MAX_BOTS", 2)
    await put_bot(database, made(bot_id="one"))
    await put_bot(database, made(bot_id="two"))
    with pytest.raises(TooManyBots):
        await put_bot(database, made(bot_id="three"))
    await put_bot(database, made(bot_id="two", name="renamed"))
    for table in ("bots", "ai_cores", "platforms"):
        assert await count(database, table) == 2


async def test_a_row_written_by_hand_needs_no_parts(database: Database) -> None:
    await database.fetch("insert into bots (bot_id, name) values ('plain', 'Plain')")
    await database.fetch(
        "insert into bots (bot_id, name, settings) values ('odd', 'Odd', '{\"debounce_ms\": -1}')"
    )
    with capture_logs() as logs:
        assert await list_bots(database) == [made(bot_id="plain", name="Plain")]
    assert [entry["bot_id"] for entry in logs] == ["odd"]


async def test_a_change_reaches_those_who_poll_an_override_included(database: Database) -> None:
    settings = Settings(_env_file=None, environment="staging")
    service = BotConfigService(database, settings, poll_seconds=0.02)
    await service.start()
    await put_bot(database, made(busy_policy="queue"))
    await until(lambda: service.get("sales").busy_policy == "queue")
    # By its values this override is what the fields' defaults are: only its presence counts.
    await put_bot(
        database, made(busy_policy="queue", overrides={"staging": {"busy_policy": "merge"}})
    )
    await until(lambda: service.get("sales").busy_policy == "merge")
    await delete_bot(database, "sales")
    await until(lambda: service.get("sales").bot_id == "default")
    await service.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the service tells nobody
            await asyncio.sleep(0.02)
