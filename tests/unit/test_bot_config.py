from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from actors.bot_config import MAX_UNKNOWN_IDS, BotConfigService
from storage.postgres import Database, DatabaseUnavailable
from storage.settings import Settings

ROW: dict[str, Any] = {
    "bot_id": "sales",
    "name": "Sales",
    "enabled": True,
    "settings": '{"busy_policy": "queue", "context_messages": 50}',
    "overrides": "{}",
    "url": None,
    "path": None,
    "model": None,
    "system_prompt": None,
    "timeout_seconds": None,
    "max_attempts": None,
    "ai_settings": "{}",
    "base_url": None,
    "platform_path": None,
}


class Rows:
    """Stands for the database: gives its rows, or is away."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows: list[dict[str, Any]] | None = list(rows)
        self.reads = 0
        self.read_twice = asyncio.Event()

    async def fetch(self, _sql: str, *_arguments: object) -> list[dict[str, Any]]:
        self.reads += 1
        if self.reads >= 2:
            self.read_twice.set()
        if self.rows is None:
            raise DatabaseUnavailable("away")
        return list(self.rows)


def service_of(rows: Rows, settings: Settings, poll_seconds: float = 60) -> BotConfigService:
    return BotConfigService(cast("Database", rows), settings, poll_seconds)


async def test_what_the_database_says_holds(settings: Settings) -> None:
    service = service_of(Rows(ROW), settings)
    assert service.get("sales").bot_id == "default"
    assert await service.refresh()
    assert service.get("sales").busy_policy == "queue"
    assert service.get("default").name == "Default Bot"
    assert service.max_context_messages == 50


async def test_a_deleted_bot_is_the_default_one_again(settings: Settings) -> None:
    rows = Rows(ROW)
    service = service_of(rows, settings)
    await service.refresh()
    rows.rows = []
    await service.refresh()
    assert service.get("sales").bot_id == "default"
    assert service.max_context_messages == 20


async def test_the_default_bot_may_be_replaced(settings: Settings) -> None:
    service = service_of(Rows({**ROW, "bot_id": "default", "name": "Ours"}), settings)
    await service.refresh()
    assert service.get("unknown").name == "Ours"


async def test_with_the_database_away_the_last_known_serves(settings: Settings) -> None:
    rows = Rows(ROW)
    service = service_of(rows, settings)
    await service.refresh()
    rows.rows = None
    with capture_logs() as logs:
        assert not await service.refresh()
        assert not await service.refresh()
    assert service.get("sales").busy_policy == "queue"
    assert [entry["event"] for entry in logs] == ["bot_config_not_read"]


async def test_it_starts_without_the_database_and_catches_up(settings: Settings) -> None:
    rows = Rows()
    rows.rows = None
    service = service_of(rows, settings, poll_seconds=0.01)
    await service.start()
    assert service.default.bot_id == "default"
    rows.rows = [ROW]
    for _ in range(500):
        if service.get("sales").bot_id == "sales":
            break
        await asyncio.sleep(0.01)
    await service.stop()
    assert service.get("sales").bot_id == "sales"


async def test_an_unexpected_error_does_not_end_the_reading(settings: Settings) -> None:
    rows = Rows({**ROW, "settings": "{}"})
    service = service_of(rows, settings, poll_seconds=0.01)
    await service.start()
    rows.rows = [{"bot_id": "half a row"}]
    rows.reads = 0
    rows.read_twice.clear()
    with capture_logs() as logs:
        await asyncio.wait_for(rows.read_twice.wait(), 5)
    await service.stop()
    assert "bot_config_poll_failed" in {entry["event"] for entry in logs}
    assert service.get("sales").bot_id == "sales"


async def test_stop_ends_the_reading(settings: Settings) -> None:
    rows = Rows()
    service = service_of(rows, settings, poll_seconds=0.001)
    await service.start()
    await service.stop()
    reads = rows.reads
    await asyncio.sleep(0.02)
    assert rows.reads == reads
    await service.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": '{"busy_policy": "wait"}'},
        {"settings": "[]"},
        {"overrides": '{"production": 5}'},
        {"url": "ftp://example.com"},
    ],
)
async def test_a_row_that_is_not_valid_harms_no_other(
    settings: Settings, changes: dict[str, Any]
) -> None:
    service = service_of(Rows({**ROW, **changes, "bot_id": "broken"}, ROW), settings)
    with capture_logs() as logs:
        await service.refresh()
    assert service.get("sales").bot_id == "sales"
    assert service.get("broken").bot_id == "default"
    assert "stored_bot_invalid" in {entry["event"] for entry in logs}


async def test_an_unknown_bot_is_logged_once_and_the_memory_of_it_is_bounded(
    settings: Settings,
) -> None:
    service = service_of(Rows(), settings)
    with capture_logs() as logs:
        for _ in range(3):
            service.get("nobody")
    assert [entry["event"] for entry in logs] == ["unknown_bot"]
    with capture_logs():
        for number in range(3 * MAX_UNKNOWN_IDS):
            service.get(f"nobody-{number}")
    assert len(service._unknown) <= MAX_UNKNOWN_IDS
