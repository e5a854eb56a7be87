"""Committed answers on their way to the platform, and the callers who wait for them."""

from __future__ import annotations

import pytest

from actors.conversation import Limits, Phase
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from actors.conversation.outbox import Delivery
from tests.unit.conversation.script import Script, message


def _committed(*names: str, limits: Limits | None = None) -> Script:
    script = Script(limits=limits).own()
    for name in names:
        script.receive(name)
        script.answered()
        script.committed()
    return script


def test_nothing_is_delivered_before_its_commit() -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    assert script.one(fx.CommitTurn).delivering
    assert not script.all(fx.Deliver)
    script.committed()
    assert script.one(fx.Deliver).attempts == 1


def test_callers_are_answered_when_the_first_attempt_is_written_down() -> None:
    script = _committed("1")
    assert not script.words()
    script.give(e.DeliveryEnded(1, "j1", "sent", 2))
    assert not script.words()
    script.give(e.DeliveryRecorded(1, "j1", "sent", e.Fate.DONE, 2))
    told = script.told("1")
    assert (told.word, told.pancake_status, told.actions_executed) == (Word.COMPLETED, "success", 2)


def test_an_answer_that_sends_nothing_is_told_at_its_commit() -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    script.committed(delivers=False)
    assert script.told("1").word is Word.COMPLETED


def test_a_failed_first_attempt_answers_pending() -> None:
    script = _committed("1")
    script.delivered("j1", "retry", retry_at=5.0)
    assert (script.told("1").word, script.told("1").pancake_status) == (Word.COMPLETED, "pending")


def test_an_attempt_is_counted_before_it_is_repeated_and_its_callers_are_not_told_again() -> None:
    script = _committed("1")
    script.delivered("j1", "retry", retry_at=5.0)
    assert script.conversation.deadline() == 5.0
    script.tick(5.0)
    assert script.one(fx.CountDelivery).job_id == "j1"
    script.counted("j1")
    assert script.one(fx.Deliver).attempts == 2
    script.delivered("j1")
    assert not script.words()


def test_a_dead_delivery_answers_failed_and_the_next_goes_on() -> None:
    script = _committed("1", "2")
    script.delivered("j1", "dead")
    assert script.told("1").pancake_status == "failed"
    assert script.one(fx.CountDelivery).job_id == "j2"


def test_deliveries_go_out_in_the_order_of_their_commits() -> None:
    script = _committed("1", "2", "3")
    for name, following in (("1", "2"), ("2", "3")):
        script.delivered(f"j{name}")
        script.counted(f"j{following}")
        assert script.one(fx.Deliver).job_id == f"j{following}"


def test_turns_go_on_while_a_delivery_is_retried_and_their_callers_get_pending() -> None:
    script = _committed("1")
    script.delivered("j1", "retry", retry_at=50.0)
    script.receive("2")
    script.answered()
    assert not script.one(fx.CommitTurn).delivering
    script.committed()
    assert script.told("2").pancake_status == "pending"


def test_callers_whose_answers_queue_behind_a_failing_delivery_get_pending() -> None:
    script = _committed("1", "2", "3")
    assert not script.words()
    script.delivered("j1", "retry", retry_at=50.0)
    assert script.words() == dict.fromkeys(("m1", "m2", "m3"), Word.COMPLETED)
    assert {it.pancake_status for it in script.all(fx.Tell)} == {"pending"}


def test_with_sixteen_undelivered_jobs_no_further_turn_starts() -> None:
    script = _committed(*(str(number) for number in range(1, 17)))
    script.receive("17")
    assert script.phase is Phase.IDLE
    assert not script.words()
    script.delivered("j1")
    assert script.one(fx.StartTurn).job_id == "j17"
    assert script.words()["m17"] is Word.STARTED


def test_messages_that_wait_for_deliveries_are_bounded_too() -> None:
    script = _committed("1", limits=Limits(undelivered_jobs=1, waiting_messages=2))
    for name in "23456":
        script.receive(name)
        assert not script.words()
    assert len(script.conversation.mailbox) == 2
    assert len(script.conversation.untold) == 2
    script.delivered("j1")
    assert script.one(fx.StartTurn).message_ids == ("m2", "m3")


def test_what_an_earlier_owner_committed_is_delivered_when_due() -> None:
    first = Delivery("j1", "default", "body 1", ("m1",), attempts=1)
    second = Delivery("j2", "default", "body 2", ("m2",))
    script = Script().own(deliveries=((first, 9.0), (second, 0.0)))
    assert not script.all(fx.CountDelivery)
    script.tick(9.0)
    script.counted("j1")
    assert (script.one(fx.Deliver).body, script.one(fx.Deliver).attempts) == ("body 1", 2)


@pytest.mark.parametrize("state", ["counting", "waiting behind"])
def test_a_job_cancelled_before_its_first_attempt_is_not_delivered(state: str) -> None:
    script = _committed("1", "2")
    if state == "counting":
        script.delivered("j1")
        script.give(e.JobCancelled("j2"))
        script.counted("j2", e.Fate.CANCELLED)
    else:
        script.give(e.JobCancelled("j2"))
    told = script.told("2")
    assert (told.word, told.reason) == (Word.FAILED, "cancelled")
    assert len(script.conversation.outbox) == (0 if state == "counting" else 1)


def test_a_delivery_under_way_is_not_stopped_by_a_cancel() -> None:
    script = _committed("1")
    script.give(e.JobCancelled("j1"))
    assert script.effects == ()
    script.delivered("j1")
    assert script.told("1").word is Word.COMPLETED


# ---------------------------------------------------------------------------------- cancel


def test_a_job_cancelled_while_the_ai_is_asked_is_abandoned() -> None:
    script = Script().own()
    script.receive("1")
    script.give(e.JobCancelled("j1"))
    assert script.all(fx.AbandonAi)
    assert (script.told("1").word, script.told("1").reason) == (Word.FAILED, "cancelled")
    assert script.phase is Phase.IDLE


def test_messages_merged_into_a_cancelled_turn_are_looked_up() -> None:
    script = Script().own(message("1", 1), message("2", 2))
    script.give(e.JobCancelled("j1"))
    assert script.words() == {"m1": Word.FAILED}
    script.fetched(message("2", 2))
    assert script.one(fx.StartTurn).message_ids == ("m2",)


def test_a_job_cancelled_while_it_waits_leaves_the_mailbox() -> None:
    script = Script().own()
    script.receive("1")
    script.receive("2")
    script.give(e.JobCancelled("j2"))
    assert script.words() == {"m2": Word.FAILED}
    script.answered()
    script.committed()
    assert script.phase is Phase.IDLE


def test_a_cancel_does_not_stop_a_turn_whose_commit_has_been_issued() -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    script.give(e.JobCancelled("j1"))
    assert script.phase is Phase.COMMITTING
    script.committed()
    assert script.all(fx.Deliver)


@pytest.mark.parametrize("fate", [e.Fate.CANCELLED, e.Fate.STALE])
def test_where_the_database_knows_better_at_the_commit_it_is_asked(fate: e.Fate) -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    script.committed(fate)
    assert not script.all(fx.Deliver)
    script.fetched()
    assert script.words() == {"m1": Word.GONE}
    script.receive("2")
    script.answered()
    assert script.one(fx.CommitTurn).first_position == 1


@pytest.mark.parametrize("fate", [e.Fate.CANCELLED, e.Fate.STALE])
def test_where_the_database_knows_better_at_the_start_it_is_asked(fate: e.Fate) -> None:
    script = Script().own(message("1", 1), message("2", 2))
    script.started(fate)
    script.fetched(message("2", 2))
    assert script.words() == {"m1": Word.GONE, "m2": Word.STARTED}


def test_a_cancel_on_the_way_to_ownership_is_seen_by_the_claim() -> None:
    script = Script()
    script.receive("1")
    assert script.give(e.JobCancelled("j1")) == ()
    script.grant()
    assert script.give(e.JobCancelled("j1")) == ()
    script.claim()
    script.fetched()
    assert script.words() == {"m1": Word.GONE}


def test_a_late_duplicate_of_a_cancelled_message_is_not_processed() -> None:
    script = Script().own()
    script.receive("1")
    script.give(e.JobCancelled("j1"))
    script.receive("1")
    assert script.words() == {"m1": Word.GONE}
