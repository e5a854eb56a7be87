"""A turn that waits for more of a burst."""

from __future__ import annotations

from actors.conversation import Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from actors.conversation.policy import BusyPolicy
from tests.unit.conversation.script import Script, message

PATIENT = Policy(debounce_seconds=2.0, debounce_max_seconds=5.0)


def _gathering(policy: Policy = PATIENT) -> Script:
    script = Script(policy).own()
    script.receive("1")
    assert script.phase is Phase.DEBOUNCING
    return script


def test_the_turn_waits_for_the_debounce_time_after_the_last_message() -> None:
    script = _gathering()
    assert script.conversation.deadline() == 2.0
    script.now = 1.5
    script.receive("2")
    assert script.conversation.deadline() == 3.5
    script.tick(2.0)
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_the_turn_waits_at_most_the_debounce_maximum() -> None:
    script = _gathering()
    for number in range(2, 7):
        script.now = number - 1.0
        script.receive(str(number))
    assert script.now == 5.0
    assert len(script.one(fx.StartTurn).message_ids) == 6


def test_the_first_caller_of_a_burst_waits_and_later_ones_get_locked_with_its_job() -> None:
    script = _gathering()
    assert script.words() == {"m1": Word.STARTED}
    script.receive("2")
    told = script.told("2")
    assert (told.word, told.job_id, told.consolidated_messages) == (Word.LOCKED, "j1", 2)


def test_the_first_caller_of_a_burst_gets_completed_with_all_its_messages() -> None:
    script = _gathering()
    script.receive("2")
    script.tick(2.0)
    script.started()
    script.answered()
    script.committed()
    script.delivered("j1")
    assert script.told("1").word is Word.COMPLETED
    assert script.told("1").consolidated_messages == 2


def test_a_burst_is_one_turn_under_queue_and_under_reject() -> None:
    for policy in (BusyPolicy.QUEUE, BusyPolicy.REJECT):
        script = _gathering(Policy(busy_policy=policy, debounce_seconds=2.0))
        script.receive("2")
        script.tick(2.0)
        assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_a_full_turn_does_not_wait_any_longer() -> None:
    script = _gathering()
    for number in range(2, 51):
        script.receive(str(number))
    assert len(script.one(fx.StartTurn).message_ids) == 50


def test_an_agent_who_replies_cancels_the_burst_after_its_jobs_are_merged() -> None:
    script = _gathering()
    script.receive("2")
    script.agent("3")
    assert script.one(fx.StartTurn).superseded_job_ids == ("j2",)
    assert not script.all(fx.CommitTurn)
    script.started()
    commit = script.one(fx.CommitTurn)
    assert (commit.status, commit.reason) == ("cancelled", "agent_replied")
    assert [it.message_id for it in commit.messages] == ["m1", "m2"]


def test_a_burst_is_not_started_ahead_of_a_message_that_is_being_looked_up() -> None:
    script = _gathering()
    script.give(e.MessageReceived(message("0", 0, PATIENT), 0))
    assert script.all(fx.FetchPending)
    script.tick(2.0)
    assert script.phase is Phase.DEBOUNCING
    assert script.conversation.deadline() == script.conversation.trusted_until
    script.fetched(message("0", 0, PATIENT), message("1", 1, PATIENT))
    script.tick(2.0)
    assert script.one(fx.StartTurn).message_ids == ("m0", "m1")


def test_a_cancelled_job_leaves_the_burst_and_the_next_message_leads_it() -> None:
    script = _gathering()
    script.receive("2")
    script.give(e.JobCancelled("j1"))
    assert script.told("1").reason == "cancelled"
    assert script.told("2").job_id == "j2"
    script.tick(2.0)
    assert script.one(fx.StartTurn).message_ids == ("m2",)


def test_a_burst_of_which_all_is_cancelled_is_over() -> None:
    script = _gathering()
    script.give(e.JobCancelled("j1"))
    assert script.phase is Phase.IDLE


def test_messages_that_wait_for_a_patient_bot_beside_unanswerable_ones_are_told_what_is_so() -> (
    None
):
    off = Policy(enabled=False)
    script = Script(PATIENT).own(message("1", 1, off), message("2", 2, PATIENT))
    assert script.phase is Phase.DEBOUNCING
    assert script.words() == {"m2": Word.STARTED}
    script.settled("1")
    assert script.told("1").reason == "bot_disabled"


def test_a_message_cancelled_while_it_was_looked_up_is_not_part_of_the_burst() -> None:
    script = Script(PATIENT).own()
    script.give(e.Poked("m0", 0))
    script.receive("1")
    script.receive("2")
    script.give(e.JobCancelled("j2"))
    script.fetched(message("1", 1, PATIENT))
    assert script.phase is Phase.DEBOUNCING
    assert script.words() == {"m0": Word.GONE, "m1": Word.STARTED}
