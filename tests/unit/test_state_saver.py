"""What becomes of states that are still to be written when their conversation is erased."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from actors.conversation import Conversation, Limits
from actors.seat import Seat
from actors.state_saver import StateSaver
from storage.redis_state import CachedState, StateCache


class Cache:
    """Notes what is asked of Redis; a write takes until ``go_on`` is set."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.go_on = asyncio.Event()

    async def write(self, states: Sequence[CachedState]) -> None:
        self.calls.append(("write", [it.conversation_id for it in states]))
        await self.go_on.wait()

    async def delete(self, conversation_ids: Sequence[str]) -> int:
        self.calls.append(("delete", sorted(conversation_ids)))
        return len(conversation_ids)


def seat(conversation_id: str) -> Seat:
    return Seat(Conversation(conversation_id, Limits()))


async def test_an_erased_state_goes_behind_its_last_write_and_before_the_next() -> None:
    cache = Cache()
    saver = StateSaver(cast("StateCache", cache), "host-0#1")
    saver.save(seat("a"))
    await asyncio.sleep(0)
    assert cache.calls == [("write", ["a"])]  # under way
    saver.save(seat("a"))
    saver.save(seat("b"))
    saver.erase("a")
    saver.erase("c")
    saver.save(seat("c"))  # a new one
    cache.go_on.set()
    await saver.drain()
    assert cache.calls[1:] == [("delete", ["a", "c"]), ("write", ["b", "c"])]


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> tuple[Cache, StateSaver]:
    """A saver that pauses for longer than a test lasts, and writes at once."""
    monkeypatch.setattr("actors.state_saver.SHORTEST_PAUSE_SECONDS", 60.0)
    cache = Cache()
    cache.go_on.set()
    return cache, StateSaver(cast("StateCache", cache), "host-0#1")


async def test_what_changes_several_times_in_a_moment_is_written_once_more(
    pausing: tuple[Cache, StateSaver],
) -> None:
    cache, saver = pausing
    changing = seat("a")
    saver.save(changing)
    for _ in range(3):
        await asyncio.sleep(0)
        saver.save(changing)
    await saver.drain()
    assert cache.calls == [("write", ["a"]), ("write", ["a"])]


async def test_what_is_about_to_be_forgotten_is_written_without_a_pause(
    pausing: tuple[Cache, StateSaver],
) -> None:
    cache, saver = pausing
    leaving = seat("a")
    saver.save(leaving)
    await asyncio.sleep(0)
    saver.save(leaving)
    saver.keep(leaving)
    async with asyncio.timeout(10):
        while saver._task is not None:
            await asyncio.wait([saver._task])
    assert cache.calls == [("write", ["a"]), ("write", ["a"])]


async def test_without_redis_there_is_nothing_to_erase() -> None:
    saver = StateSaver(None, "host-0#1")
    saver.erase("a")
    await saver.drain()
