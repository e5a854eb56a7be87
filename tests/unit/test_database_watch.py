"""What is known of the database while it is asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from storage import database_watch
from storage.database_watch import DatabaseWatch
from storage.postgres import DatabaseUnavailable


class _Server:
    """Answers, or raises ``error``."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def connect(self, *_: object, **__: object) -> _Server:
        return self

    async def fetch(self, _: str) -> list[object]:
        if self.error is not None:
            raise self.error
        return []

    def terminate(self) -> None:
        """Nothing is open."""


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the watch tells nobody)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailable("cut"),
        # What asyncpg says to a pooler that names no version, and to a message cut short.
        AttributeError("server_version"),
        BufferError("buffer overread"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_was_away_is_known_to_be_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    server = _Server()
    monkeypatch.setattr(database_watch, "Database", server)
    monkeypatch.setattr(database_watch, "INTERVAL_SECONDS", 0.001)
    watch = DatabaseWatch("postgresql://somewhere")
    assert await watch.answers()
    server.error = error
    await _until(lambda: watch.is_away)
    server.error = None
    await _until(lambda: not watch.is_away)
    assert await watch.answers()
    await watch.stop()
