"""Under load the start of a turn is written by its commit, where that comes at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors import turn_work
from actors.ai import AiAnswer
from actors.conversation.effects import CommitTurn, StartTurn
from actors.conversation.events import AiAnswered, Answer, TurnStarted
from actors.host_load import HostLoad
from actors.resources import Resources
from actors.seat import Seat
from actors.turn_work import TurnWork
from storage.codec import Operation
from storage.records import FencedOutcome
from storage.turn_records import TurnCommit, TurnStart
from tests.unit.conversation.script import Script


class Writer:
    """Takes every operation at once."""

    def __init__(self) -> None:
        self.written: list[Operation] = []

    async def call(self, operation: Operation) -> FencedOutcome:
        self.written.append(operation)
        return FencedOutcome.DONE


class Turn:
    """A lone message whose turn has begun, in a host with so many busy conversations."""

    def __init__(self, busy: int) -> None:
        self.script = Script()
        self.script.own(trusted_until=1e12)
        self.script.receive("1")
        self.start = self.script.one(StartTurn)
        self.seat = Seat(self.script.conversation)
        self.writer = Writer()
        resources = SimpleNamespace(writer=self.writer, lease_ttl_seconds=30.0, owner="host-0#1")
        load = HostLoad()
        load.busy = busy
        self.work = TurnWork(cast("Resources", cast("Any", resources)), load)

    def commit_effect(self) -> CommitTurn:
        payload = AiAnswer(response_text="reply")
        self.script.give(AiAnswered(self.start.job_id, self.start.call, Answer("reply", payload)))
        return self.script.one(CommitTurn)


MANY = turn_work.MANY_BUSY


async def test_a_commit_that_comes_at_once_says_it_all() -> None:
    turn = Turn(MANY)
    start = asyncio.create_task(turn.work.start(turn.seat, turn.start))
    await asyncio.sleep(0.01)
    assert turn.writer.written == []
    await turn.work.commit(turn.seat, turn.commit_effect())
    assert await start is None
    (written,) = turn.writer.written
    assert isinstance(written, TurnCommit)
    assert written.began_seconds_ago >= 0.01
    assert turn.seat.held_start is None


async def test_what_takes_longer_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_work, "HOLD_SECONDS", 0.01)
    turn = Turn(MANY)
    assert isinstance(await turn.work.start(turn.seat, turn.start), TurnStarted)
    await turn.work.commit(turn.seat, turn.commit_effect())
    start, commit = turn.writer.written
    assert isinstance(start, TurnStart)
    assert isinstance(commit, TurnCommit)
    assert commit.began_seconds_ago == 0


async def test_with_little_work_a_start_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_work, "HOLD_SECONDS", 3_600.0)
    turn = Turn(MANY - 1)
    assert isinstance(await turn.work.start(turn.seat, turn.start), TurnStarted)
    assert [type(it) for it in turn.writer.written] == [TurnStart]


async def test_a_further_start_lets_an_earlier_one_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_work, "HOLD_SECONDS", 3_600.0)
    turn = Turn(MANY)
    tasks: list[asyncio.Task[Any]] = []
    for _ in range(2):
        tasks.append(asyncio.create_task(turn.work.start(turn.seat, turn.start)))
        await asyncio.sleep(0.01)
    assert await tasks[0] is not None
    assert len(turn.writer.written) == 1
    turn.seat.end_holding(True)
    assert await tasks[1] is not None
    assert len(turn.writer.written) == 2


async def test_what_is_held_ends_with_its_task() -> None:
    turn = Turn(MANY)
    start = asyncio.create_task(turn.work.start(turn.seat, turn.start))
    await asyncio.sleep(0.01)
    start.cancel()
    await asyncio.wait([start])
    assert turn.seat.held_start is None
    assert turn.seat.end_holding(False) is False
