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


class Ingress:
    """Hears what there is to tell it."""

    def __init__(self, streams: OutcomeStreams) -> None:
        self.streams = streams
        self.next_number = 0

    async def hear(self) -> list[str]:
        """Return the ids of the messages that it is told of."""
        self.next_number, outcomes = await self.streams.read("one", self.next_number)
        return [it.message_id for it in outcomes]


async def test_outcomes_come_in_order_and_once() -> None:
    streams = OutcomeStreams()
    ingress = Ingress(streams)
    for number in range(3):
        streams.put("one", outcome(str(number)))
    assert await ingress.hear() == ["0", "1", "2"]
    streams.put("one", outcome("3"))
    assert await ingress.hear() == ["3"]


async def test_what_did_not_arrive_is_told_again() -> None:
    streams = OutcomeStreams()
    ingress = Ingress(streams)
    for number in range(3):
        streams.put("one", outcome(str(number)))
        await streams.read("one", ingress.next_number)
    assert await ingress.hear() == ["0", "1", "2"]
    streams.put("one", outcome("3"))
    await streams.read("one", ingress.next_number)
    assert await ingress.hear() == ["3"]


async def test_what_was_heard_of_an_earlier_host_says_nothing_of_a_new_one() -> None:
    before, streams = OutcomeStreams(), OutcomeStreams()
    ingress = Ingress(before)
    for number in range(3):
        before.put("one", outcome(str(number)))
    await ingress.hear()
    streams.put("one", outcome("3"))
    ingress.streams = streams
    assert await ingress.hear() == ["3"]


async def test_what_was_heard_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_streams, "FETCH_SECONDS", 0.01)
    streams = OutcomeStreams()
    ingress = Ingress(streams)
    streams.put("one", outcome("1"))
    assert await ingress.hear() == ["1"]
    assert await ingress.hear() == []
    assert await ingress.hear() == []
    streams.put("one", outcome("2"))
    assert await ingress.hear() == ["2"]


async def test_long_results_are_fetched_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_streams, "MAX_BATCH_CHARACTERS", 100)
    streams = OutcomeStreams()
    for number in range(5):
        streams.put("one", outcome(str(number), "x" * 60))
    ingress = Ingress(streams)
    assert [len(await ingress.hear()) for _ in range(3)] == [2, 2, 1]


async def test_the_oldest_go_where_results_are_too_long_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome_streams, "MAX_WAITING_CHARACTERS", 100)
    streams = OutcomeStreams()
    for number in range(5):
        streams.put("one", outcome(str(number), "x" * 40))
    assert await Ingress(streams).hear() == ["3", "4"]


async def test_nothing_is_kept_for_an_ingress_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = OutcomeStreams()
    streams.put("one", outcome("1"))
    monkeypatch.setattr(outcome_streams, "UNHEARD_SECONDS", -1.0)
    streams.put("one", outcome("2"))
    monkeypatch.setattr(outcome_streams, "UNHEARD_SECONDS", 60.0)
    streams.put("one", outcome("3"))
    assert await Ingress(streams).hear() == ["3"]
