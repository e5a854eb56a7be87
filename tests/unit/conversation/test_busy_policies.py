"""What a second message gets while a turn is running: the table in the API contract."""

from __future__ import annotations

import pytest

from actors.conversation import Limits, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from tests.unit.conversation.script import MERGE, QUEUE, REJECT, RESTART, Script, message


def _calling(policy: Policy, limits: Limits | None = None) -> Script:
    script = Script(policy, limits).own()
    script.receive("1")
    assert script.phase is Phase.CALLING
    return script


def _merged(script: Script) -> list[str]:
    return [it.message_id for it in script.one(fx.CallAi).messages]


@pytest.mark.parametrize("policy", [MERGE, QUEUE, RESTART, REJECT])
def test_a_message_for_an_idle_conversation_starts_a_turn_at_once(policy: Policy) -> None:
    script = Script(policy).own()
    script.receive("1")
    assert script.words() == {"m1": Word.STARTED}
    assert _merged(script) == ["m1"]


@pytest.mark.parametrize("policy", [MERGE, QUEUE])
def test_a_message_during_a_turn_waits_and_its_caller_is_told_locked(policy: Policy) -> None:
    script = _calling(policy)
    script.receive("2")
    told = script.told("2")
    assert (told.word, told.queued, told.job_id) == (Word.LOCKED, True, "j2")
    assert not script.all(fx.CallAi)


def test_merge_answers_all_that_wait_in_one_next_turn() -> None:
    script = _calling(MERGE)
    script.receive("2")
    script.receive("3")
    assert script.told("3").job_id == "j2"
    assert script.told("3").consolidated_messages == 2
    script.answered()
    script.committed()
    started = script.one(fx.StartTurn)
    assert (started.job_id, started.message_ids) == ("j2", ("m2", "m3"))
    assert started.superseded_job_ids == ("j3",)


def test_merged_jobs_are_marked_before_the_ai_is_called() -> None:
    script = Script().own(message("1", 1), message("2", 2))
    assert script.phase is Phase.STARTING
    assert not script.all(fx.CallAi)
    script.started()
    assert _merged(script) == ["m1", "m2"]


def test_queue_answers_those_that_wait_one_turn_each_in_order() -> None:
    script = _calling(QUEUE)
    script.receive("2")
    script.receive("3")
    assert script.told("3").job_id == "j3"
    for name in ("2", "3"):
        script.answered()
        script.committed()
        assert _merged(script) == [f"m{name}"]
        script.started()


@pytest.mark.parametrize("policy", [MERGE, QUEUE])
def test_the_running_turns_caller_gets_restart_needed_with_the_finished_result(
    policy: Policy,
) -> None:
    script = _calling(policy)
    script.receive("2")
    script.answered()
    script.committed()
    assert not [it for it in script.all(fx.Tell) if it.message_id == "m1"]
    script.delivered("j1")
    told = script.told("1")
    assert (told.word, told.result, told.restart_job_id) == (Word.RESTART_NEEDED, "result", "j2")
    assert [(it.message_id, it.timestamp) for it in told.newer] == [("m2", 2.0)]


def test_restart_abandons_the_call_and_starts_the_same_job_with_all_messages() -> None:
    script = _calling(RESTART)
    script.receive("2")
    assert script.one(fx.AbandonAi).call == 1
    started = script.one(fx.StartTurn)
    assert (started.job_id, started.call, started.superseded_job_ids) == ("j1", 2, ("j2",))
    script.started()
    assert _merged(script) == ["m1", "m2"]


def test_restart_tells_the_running_turns_caller_at_once_without_a_result() -> None:
    script = _calling(RESTART)
    script.receive("2")
    first, second = script.told("1"), script.told("2")
    assert (first.word, first.result, first.restart_job_id) == (Word.RESTART_NEEDED, None, "j1")
    assert (second.word, second.queued, second.job_id) == (Word.LOCKED, True, "j1")


def test_restart_ignores_the_answer_of_the_abandoned_call() -> None:
    script = _calling(RESTART)
    script.receive("2")
    assert script.give(e.AiAnswered("j1", 1, e.Answer("late", None))) == ()
    assert script.phase is Phase.STARTING


def test_restart_is_merge_once_the_commit_has_been_issued() -> None:
    script = _calling(RESTART)
    script.answered()
    script.receive("2")
    assert script.phase is Phase.COMMITTING
    assert (script.told("2").word, script.told("2").job_id) == (Word.LOCKED, "j2")


def test_a_job_restarts_at_most_five_times() -> None:
    script = _calling(RESTART)
    for number in range(2, 7):
        script.receive(str(number))
        script.started()
        assert len(_merged(script)) == number
    script.receive("7")
    assert not script.all(fx.AbandonAi)
    assert script.told("7").job_id == "j7"


def test_a_job_restarts_for_at_most_sixty_seconds() -> None:
    script = _calling(RESTART)
    script.now = 59.9
    script.receive("2")
    script.started()
    script.now = 60.0
    script.receive("3")
    assert not script.all(fx.AbandonAi)
    assert script.told("3").job_id == "j3"


def test_reject_writes_the_rejection_down_before_its_caller_is_told() -> None:
    script = _calling(REJECT)
    script.receive("2")
    assert script.one(fx.SettleMessage).status == "rejected"
    assert not script.words()
    script.settled("2")
    told = script.told("2")
    assert (told.word, told.queued, told.job_id) == (Word.LOCKED, False, None)


def test_the_running_turns_caller_hears_of_a_rejected_message_that_no_job_answers() -> None:
    script = _calling(REJECT)
    script.receive("2")
    script.settled("2")
    script.answered()
    script.committed()
    script.delivered("j1")
    told = script.told("1")
    assert told.word is Word.RESTART_NEEDED
    assert [it.message_id for it in told.newer] == ["m2"]
    assert told.restart_job_id is None


def test_a_rejected_message_that_is_sent_again_is_processed() -> None:
    script = _calling(REJECT)
    script.receive("2")
    script.settled("2")
    script.answered()
    script.committed()
    script.receive("2", job_id="j2b")
    assert script.one(fx.CallAi).job_id == "j2b"


def test_a_late_duplicate_of_a_rejected_message_is_not_processed() -> None:
    script = _calling(REJECT)
    script.receive("2")
    script.settled("2")
    script.answered()
    script.committed()
    script.receive("2")
    assert script.words() == {"m2": Word.GONE}
    assert script.phase is Phase.IDLE


def test_a_turn_holds_at_most_fifty_messages() -> None:
    waiting = [message(str(number), number) for number in range(1, 61)]
    script = Script().own(*waiting)
    assert len(script.one(fx.StartTurn).message_ids) == 50
    assert script.told("51").job_id == "j51"
    assert script.told("60").job_id == "j51"


def test_a_turn_is_bounded_in_characters_but_its_first_message_is_always_taken() -> None:
    limits = Limits(turn_characters=10)
    long, short = message("1", 1, content="x" * 20), message("2", 2)
    script = Script(limits=limits).own(long, short)
    assert script.one(fx.StartTurn).message_ids == ("m1",)


def test_what_a_message_brings_counts_for_the_bounds_of_a_turn() -> None:
    limits = Limits(turn_characters=30)
    waiting = [message(it, int(it), attachments='[{"a": 1}]') for it in "123"]
    script = Script(limits=limits).own(*waiting, message("4", 4, metadata="x" * 20))
    assert script.one(fx.StartTurn).message_ids == ("m1",)


def test_a_message_that_is_rejected_again_and_again_is_one_newer_message() -> None:
    script = _calling(REJECT)
    for number in (2, 3, 4):
        script.give(e.MessageReceived(message("2", number, REJECT, job_id=f"j{number}"), 1))
        script.settled("2")
    script.answered()
    script.committed()
    script.delivered("j1")
    assert [it.message_id for it in script.told("1").newer] == ["m2"]


def test_a_turn_never_mixes_bots() -> None:
    other = Policy(bot_id="other")
    script = Script().own(
        message("1", 1), message("2", 2, other), message("3", 3, other), message("4", 4)
    )
    batches = [_merged(script)]
    for _ in range(2):
        script.answered()
        script.committed()
        if script.phase is Phase.STARTING:
            script.started()
        batches.append(_merged(script))
    assert batches == [["m1"], ["m2", "m3"], ["m4"]]


def test_a_message_for_another_bot_does_not_restart_the_turn() -> None:
    script = _calling(RESTART)
    script.receive("2", Policy(bot_id="other", busy_policy=RESTART.busy_policy))
    assert not script.all(fx.AbandonAi)


def test_the_ai_gets_messages_by_the_time_they_were_written() -> None:
    late, early = message("1", 1, timestamp=9.0), message("2", 2, timestamp=3.0)
    script = Script().own(late, early)
    script.started()
    assert _merged(script) == ["m2", "m1"]
    assert script.one(fx.CallAi).job_id == "j1"


def test_no_restart_overtakes_a_message_that_is_still_being_looked_up() -> None:
    script = _calling(RESTART)
    script.seq = 2
    script.give(e.MessageReceived(message("2", 2, RESTART), 0))
    script.receive("3")
    assert not script.all(fx.AbandonAi)
    script.fetched(message("1", 1, RESTART), message("2", 2, RESTART), message("3", 3, RESTART))
    script.answered()
    script.committed()
    assert script.one(fx.StartTurn).message_ids == ("m2", "m3")
