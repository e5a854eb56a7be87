"""What hosts keep for an ingress stays within bounds, also where nobody fetches it."""

from __future__ import annotations

import pytest

from actors import outcome_streams
from actors.outcome import Outcome, OutcomeKind
from actors.outcome_streams import OutcomeStreams


def outcome(message_id: str, result: str | None = None) -> Outcome:
    return Outcome(
        conversation_id="c", message_id=message_id, kind=OutcomeKind.COMPLETED, result=result
    )


async def test_outcomes_come_in_order_and_once() -> None:
    streams = OutcomeStreams()
    for number in range(3):
        streams.put("one", outcome(str(number)))
    assert [it.message_id for it in await streams.take("one")] == ["0", "1", "2"]
    streams.put("one", outcome("3"))
    assert [it.message_id for it in await streams.take("one")] == ["3"]


async def test_long_results_are_fetched_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_streams, "MAX_BATCH_CHARACTERS", 100)
    streams = OutcomeStreams()
    for number in range(5):
        streams.put("one", outcome(str(number), "x" * 60))
    assert [len(await streams.take("one")) for _ in range(3)] == [2, 2, 1]


async def test_the_oldest_go_where_results_are_too_long_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome_streams, "MAX_WAITING_CHARACTERS", 100)
    streams = OutcomeStreams()
    for number in range(5):
        streams.put("one", outcome(str(number), "x" * 40))
    assert [it.message_id for it in await streams.take("one")] == ["3", "4"]


async def test_nothing_is_kept_for_an_ingress_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = OutcomeStreams()
    streams.put("one", outcome("1"))
    monkeypatch.setattr(outcome_streams, "UNHEARD_SECONDS", -1.0)
    streams.put("one", outcome("2"))
    monkeypatch.setattr(outcome_streams, "UNHEARD_SECONDS", 60.0)
    streams.put("one", outcome("3"))
    assert [it.message_id for it in await streams.take("one")] == ["3"]
