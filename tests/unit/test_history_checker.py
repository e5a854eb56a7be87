"""The checker of the fault tests has teeth: it finds, in histories made by hand, each bad one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.history import History, Request, Verdict
from tests.stack.history.events import Commit, Story
from tests.stack.history.watch import MEBIBYTE, Sample, check_samples
from tests.stack.stubs import AiCallRecord, DeliveryRecord

NAME = "conversation"
FIRST, SECOND, THIRD = "m1", "m2", "m3"


def message(message_id: str, seq: int, job: str, turn: str | None, position: int) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "job_id": job,
        "turn_job_id": turn,
        "seq": seq,
        "position": position,
        "timestamp": float(seq),
        "is_processed": True,
        "sender_type": "user",
        "content": message_id,
    }


def job(job_id: str, message_ids: list[str], epoch: int, committed_at: float) -> dict[str, Any]:
    return {
        "id": job_id,
        "status": "completed",
        "outcome_status": "completed",
        "reason": None,
        "superseded_by": None,
        "message_ids": message_ids,
        "epoch": epoch,
        "committed_at": committed_at,
        "delivery_status": "sent",
        "delivery_seq": epoch,
        "delivery_attempts": 1,
    }


def call(job_id: str, message_ids: list[str], started_at: float) -> AiCallRecord:
    body = {"job_id": job_id, "message_ids": message_ids}
    return AiCallRecord(body, f"{job_id}.1", started_at, started_at + 0.5)


def delivery(job_id: str, message_ids: list[str], received_at: float) -> DeliveryRecord:
    body = {"job_id": job_id, "message_ids": message_ids}
    return DeliveryRecord(body, json.dumps(body).encode(), job_id, received_at, 200)


def request(message_id: str, started_at: float, ended_at: float, **fields: Any) -> Request:
    return Request(NAME, message_id, started_at, ended_at, **{"verdict": Verdict.OK} | fields)


def good() -> Story:
    """Two turns: of one message, and of two, whose second job the first of them superseded."""
    superseded = job("j3", [THIRD], 2, 0.0) | {
        "status": "superseded",
        "superseded_by": "j2",
        "committed_at": None,
        "delivery_status": None,
    }
    return Story(
        NAME,
        epoch=2,
        rows=[
            message(FIRST, 1, "j1", "j1", 1),
            message(SECOND, 2, "j2", "j2", 3),
            message(THIRD, 3, "j3", "j2", 4),
        ],
        jobs={
            "j1": job("j1", [FIRST], 1, 11.0),
            "j2": job("j2", [SECOND, THIRD], 2, 21.0),
            "j3": superseded,
        },
        ai_calls=[call("j1", [FIRST], 10.0), call("j2", [SECOND, THIRD], 20.0)],
        deliveries=[delivery("j1", [FIRST], 12.0), delivery("j2", [SECOND, THIRD], 22.0)],
        commits=[Commit("j1", 1, 1, 11.0), Commit("j2", 2, 2, 21.0)],
        sent_at={"j1": 13.0, "j2": 23.0},
    )


def requests() -> list[Request]:
    told = {"status": "completed", "job_id": "j1"}
    return [
        request(FIRST, 9.0, 13.0, result=told),
        request(SECOND, 14.0, 15.0, verdict=Verdict.UNKNOWN),
        request(SECOND, 16.0, 16.5, verdict=Verdict.REFUSED, code="storage_unavailable"),
        request(SECOND, 17.0, 18.0, result={"status": "locked", "job_id": "j2"}),
        request(THIRD, 19.0, 19.5, result={"status": "locked", "job_id": "j2"}),
        request("never", 19.0, 19.5, verdict=Verdict.REFUSED, code="overloaded"),
    ]


def bodies() -> dict[str, dict[str, Any]]:
    return {it: {"conversation_id": NAME, "message_content": it} for it in (FIRST, SECOND, THIRD)}


def check(story: Story, seen: list[Request] | None = None, *, is_undisturbed: bool = False) -> None:
    History({NAME: story}).check(
        bodies(),
        is_undisturbed=is_undisturbed,
        requests=requests() if seen is None else seen,
    )


def test_a_good_history_passes() -> None:
    check(good(), is_undisturbed=True)


def a_message_that_was_accepted_is_not_stored(story: Story) -> None:
    del story.rows[2]


def a_message_is_stored_otherwise_than_it_was_sent(story: Story) -> None:
    story.rows[0]["content"] = "something else"  # type: ignore[index]


def a_message_is_stored_twice(story: Story) -> None:
    story.rows.append(story.rows[2])


def a_message_waits_for_ever(story: Story) -> None:
    story.rows[2] = dict(story.rows[2]) | {"is_processed": False}


def a_message_is_in_two_turns(story: Story) -> None:
    story.jobs["j1"]["message_ids"].append(SECOND)


def a_message_is_in_no_turn(story: Story) -> None:
    story.jobs["j2"]["message_ids"].remove(THIRD)


def a_job_is_not_final(story: Story) -> None:
    story.jobs["j2"]["status"] = "processing"  # type: ignore[index]


def a_superseded_job_leads_nowhere(story: Story) -> None:
    story.jobs["j3"]["superseded_by"] = "j9"  # type: ignore[index]


def jobs_supersede_each_other(story: Story) -> None:
    story.jobs["j2"] = dict(story.jobs["j2"]) | {"status": "superseded", "superseded_by": "j3"}


def an_epoch_decreases(story: Story) -> None:
    story.jobs["j1"]["epoch"] = 2  # type: ignore[index]
    story.jobs["j2"]["epoch"] = 1  # type: ignore[index]


def an_epoch_is_not_there_yet(story: Story) -> None:
    story.jobs["j2"]["epoch"] = 3  # type: ignore[index]


def a_turn_begins_before_the_one_before_it_is_committed(story: Story) -> None:
    story.ai_calls[1] = call("j2", [SECOND, THIRD], 10.6)


def two_ai_calls_run_at_the_same_time(story: Story) -> None:
    story.ai_calls.append(call("j2", [SECOND, THIRD], 20.2))


def a_turn_overtakes_an_earlier_one(story: Story) -> None:
    story.jobs["j1"]["committed_at"] = 24.0  # type: ignore[index]


def a_turn_has_its_messages_in_another_order(story: Story) -> None:
    story.jobs["j2"]["message_ids"].reverse()


def two_turns_stand_at_one_place_of_the_context(story: Story) -> None:
    story.rows[1]["position"], story.rows[2]["position"] = 1, 2  # type: ignore[index]


def a_place_of_the_context_is_missing(story: Story) -> None:
    story.rows[2]["position"] = 5  # type: ignore[index]


def a_stale_epoch_is_committed(story: Story) -> None:
    assert story.commits is not None
    story.commits[0] = Commit("j1", 1, 2, 11.0)


def a_job_is_committed_twice(story: Story) -> None:
    assert story.commits is not None
    story.commits.append(Commit("j1", 1, 1, 12.0))


def a_committed_answer_did_not_come_from_the_ai(story: Story) -> None:
    del story.ai_calls[0]


def something_is_delivered_that_is_not_committed(story: Story) -> None:
    story.deliveries.append(delivery("j9", ["m9"], 30.0))


def something_is_delivered_before_it_is_committed(story: Story) -> None:
    story.deliveries[0] = delivery("j1", [FIRST], 10.7)


def something_recorded_as_sent_was_not_delivered(story: Story) -> None:
    del story.deliveries[0]


def deliveries_are_in_another_order(story: Story) -> None:
    story.deliveries.reverse()


def something_is_sent_again_that_was_recorded_as_sent(story: Story) -> None:
    story.deliveries.append(delivery("j1", [FIRST], 30.0))


def one_key_has_two_bodies(story: Story) -> None:
    again = delivery("j1", [FIRST], 12.5)
    again.raw += b" "
    story.deliveries.insert(1, again)


def one_job_has_two_keys(story: Story) -> None:
    again = delivery("j1", [FIRST], 12.5)
    again.idempotency_key = "j1 again"
    story.deliveries.insert(1, again)


def one_message_has_two_keys(story: Story) -> None:
    again = delivery("j9", [FIRST], 12.5)
    story.deliveries.insert(1, again)


BAD: list[tuple[str, Callable[[Story], None]]] = [
    ("A", a_message_that_was_accepted_is_not_stored),
    ("A", a_message_is_stored_otherwise_than_it_was_sent),
    ("A", a_message_is_stored_twice),
    ("A", a_message_waits_for_ever),
    ("A", a_message_is_in_two_turns),
    ("A", a_message_is_in_no_turn),
    ("A", a_job_is_not_final),
    ("A", a_superseded_job_leads_nowhere),
    ("A", jobs_supersede_each_other),
    ("B", an_epoch_decreases),
    ("B", an_epoch_is_not_there_yet),
    ("B", a_turn_begins_before_the_one_before_it_is_committed),
    ("B", two_ai_calls_run_at_the_same_time),
    ("C", a_turn_overtakes_an_earlier_one),
    ("C", a_turn_has_its_messages_in_another_order),
    ("C", two_turns_stand_at_one_place_of_the_context),
    ("C", a_place_of_the_context_is_missing),
    ("D", a_stale_epoch_is_committed),
    ("D", a_job_is_committed_twice),
    ("D", a_committed_answer_did_not_come_from_the_ai),
    ("D", something_is_delivered_that_is_not_committed),
    ("D", something_is_delivered_before_it_is_committed),
    ("D", something_recorded_as_sent_was_not_delivered),
    ("D", deliveries_are_in_another_order),
    ("D", something_is_sent_again_that_was_recorded_as_sent),
    ("P", one_key_has_two_bodies),
    ("P", one_job_has_two_keys),
    ("P", one_message_has_two_keys),
]


@pytest.mark.parametrize(("letter", "spoil"), BAD, ids=[spoil.__name__ for _, spoil in BAD])
def test_it_finds_that(letter: str, spoil: Callable[[Story], None]) -> None:
    story = good()
    spoil(story)
    with pytest.raises(AssertionError, match=rf"\({letter}\)"):
        check(story)


@pytest.mark.parametrize(
    ("letter", "seen"),
    [
        ("A", requests()[1:]),
        ("A", [request(FIRST, 9.0, 13.0, result={"status": "completed", "job_id": "j2"})]),
        ("A", [request(FIRST, 9.0, 13.0, result={"status": "completed", "job_id": "j9"})]),
        ("C", [request(SECOND, 1.0, 2.0), request(FIRST, 3.0, 4.0), request(THIRD, 5.0, 6.0)]),
        ("F", [request(FIRST, 9.0, 9.1, verdict=Verdict.REFUSED, code="overloaded")]),
    ],
    ids=[
        "a message is stored that nobody has sent",
        "somebody is told of a job of others",
        "somebody is told of a job that is not there",
        "what was sent later is stored earlier",
        "what was refused is stored",
    ],
)
def test_it_finds_in_what_clients_saw_that(letter: str, seen: list[Request]) -> None:
    others = [it for it in requests() if it.message_id not in {own.message_id for own in seen}]
    with pytest.raises(AssertionError, match=rf"\({letter}\)"):
        check(good(), seen if letter in "C" or len(seen) > 1 else seen + others)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda story: story.ai_calls.insert(1, call("j1", [FIRST], 10.6)),
        lambda story: story.deliveries.insert(1, delivery("j1", [FIRST], 12.5)),
    ],
    ids=["an AI call that is repeated", "a delivery that is repeated"],
)
def test_only_a_fault_excuses(spoil: Callable[[Story], None]) -> None:
    story = good()
    spoil(story)
    check(story)
    with pytest.raises(AssertionError):
        check(story, is_undisturbed=True)


def test_what_a_stopped_host_may_do_must_be_said() -> None:
    story = good()
    two_ai_calls_run_at_the_same_time(story)
    something_is_sent_again_that_was_recorded_as_sent(story)
    History({NAME: story}).check(
        bodies(), is_undisturbed=False, calls_may_overlap=True, may_deliver_late=True
    )


def test_it_names_what_is_pending() -> None:
    story = good()
    a_message_waits_for_ever(story)
    a_job_is_not_final(story)
    assert len(History({NAME: story}).pending()) == 2


def test_it_finds_a_process_that_grows() -> None:
    before = Sample({1: 100 * MEBIBYTE, 2: 100 * MEBIBYTE})
    check_samples([before, before])
    with pytest.raises(AssertionError, match=r"\(F\)"):
        check_samples([before, dataclasses.replace(before, memory={2: 500 * MEBIBYTE})])


def test_it_finds_a_queue_that_grows() -> None:
    sample = Sample({}, [{"conversations": 2, "waiting_messages": 400}])
    check_samples([sample])
    with pytest.raises(AssertionError, match=r"\(F\)"):
        check_samples([dataclasses.replace(sample, actors=[{"waiting_messages": 201}])])
