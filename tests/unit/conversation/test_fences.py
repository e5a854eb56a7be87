"""What stops an owner: the end of its trust, a lost lease, a newer epoch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import Phase
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from actors.conversation.outbox import Delivery
from tests.unit.conversation.script import Script, message
from tests.unit.conversation.situations import (
    BUSY,
    WORK,
    calling,
    committing,
    fenced,
    script_in,
    sending,
    settling,
    starting,
)


@pytest.mark.parametrize("prepare", BUSY)
def test_past_the_trust_window_an_owner_starts_and_delivers_nothing(
    prepare: Callable[[Script], None],
) -> None:
    script = script_in(prepare)
    script.now = script.conversation.trusted_until
    script.receive("9")
    assert not [it for it in script.effects if isinstance(it, WORK)]
    assert script.one(fx.ReleaseLease).lock_id == "lock"
    assert script.phase is Phase.BLOCKED


@pytest.mark.parametrize("prepare", BUSY)
def test_an_owner_is_due_a_tick_when_its_trust_ends(prepare: Callable[[Script], None]) -> None:
    deadline = script_in(prepare).conversation.deadline()
    assert deadline is not None
    assert deadline <= 1e6


def test_an_answer_of_the_ai_past_the_trust_window_is_not_committed() -> None:
    script = script_in(calling)
    script.now = script.conversation.trusted_until
    script.answered()
    assert not script.all(fx.CommitTurn)
    assert script.phase is Phase.BLOCKED


def test_a_commit_that_is_done_past_the_trust_window_is_not_delivered() -> None:
    script = script_in(committing)
    script.now = script.conversation.trusted_until
    script.committed()
    assert not script.all(fx.Deliver)


def test_a_claim_answered_past_the_trust_window_starts_nothing() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.now = 28.0
    due = Delivery("j0", "default", "body", ("m0",))
    script.claim(message("1", 1), deliveries=((due, 0.0),), trusted_until=28.0)
    assert not [it for it in script.effects if isinstance(it, WORK)]
    assert script.phase is Phase.BLOCKED


def test_a_renewal_extends_the_trust() -> None:
    script = Script().own(trusted_until=28.0)
    script.give(e.LeaseRenewed("lock", e.LeaseKind.REDIS, 38.0))
    script.now = 30.0
    script.receive("1")
    assert script.all(fx.StartTurn)


def test_a_renewal_that_comes_too_late_to_help_stops_the_owner() -> None:
    script = Script().own(trusted_until=28.0)
    script.now = 50.0
    script.give(e.LeaseRenewed("lock", e.LeaseKind.REDIS, 38.0))
    assert script.effects[-1] == fx.Passivate()


def test_an_idle_owner_whose_trust_is_over_starts_over_for_a_new_message() -> None:
    script = Script().own(trusted_until=28.0)
    script.now = 30.0
    script.receive("1")
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.AcquireLease]


@pytest.mark.parametrize("prepare", BUSY)
def test_a_lost_lease_stops_everything(prepare: Callable[[Script], None]) -> None:
    script = script_in(prepare)
    script.give(e.LeaseLost("lock"))
    assert not [it for it in script.effects if isinstance(it, WORK)]
    assert bool(script.all(fx.AbandonAi)) is (prepare is calling)
    assert script.phase is Phase.BLOCKED


def test_a_lease_lost_while_claiming_starts_over_later() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.LeaseLost("lock"))
    script.tick(1.0)
    assert script.all(fx.AcquireLease)


def _fence_start(script: Script) -> None:
    starting(script)
    script.started(e.Fate.FENCED)


def _fence_settle(script: Script) -> None:
    settling(script)
    script.settled("1", e.Fate.FENCED)


def _fence_count(script: Script) -> None:
    script.own(deliveries=((Delivery("j1", "default", "body", ("m1",)), 0.0),))
    script.counted("j1", e.Fate.FENCED)


def _fence_record(script: Script) -> None:
    sending(script)
    script.give(e.DeliveryEnded(1, "j1", "retry", 0, 9.0))
    script.give(e.DeliveryRecorded(1, "j1", "retry", e.Fate.FENCED, 0, 9.0))


FENCES = [_fence_start, fenced, _fence_settle, _fence_count, _fence_record]


@pytest.mark.parametrize("prepare", FENCES)
def test_a_fenced_owner_leaves_the_conversation_alone_for_one_lease_time(
    prepare: Callable[[Script], None],
) -> None:
    script = script_in(prepare)
    assert script.phase is Phase.FENCED
    assert not [it for it in script.effects if isinstance(it, WORK)]
    assert script.conversation.deadline() == 30.0
    script.receive("9")
    assert script.effects == ()
    script.tick(30.0)
    assert script.all(fx.AcquireLease)


def test_a_fence_while_calling_abandons_the_call() -> None:
    script = script_in(calling)
    script.started(e.Fate.FENCED)
    assert script.all(fx.AbandonAi)


def test_callers_of_a_fenced_turn_are_told_what_the_database_says() -> None:
    script = script_in(fenced)
    script.tick(30.0)
    script.grant()
    script.claim()
    script.fetched()
    assert script.words() == {"m1": Word.GONE}


def test_callers_of_a_lost_turn_are_handed_to_the_next_owner() -> None:
    script = script_in(sending)
    script.give(e.LeaseLost("lock"))
    script.tick(1.0)
    script.give(e.LeaseRefused(script.conversation.attempt, "other", 9.0, reachable=True))
    assert script.one(fx.HandOver).message_ids == ("m1",)


def test_a_host_that_stops_does_not_wait_for_a_fenced_conversation() -> None:
    script = script_in(committing)
    script.give(e.Released())
    script.committed(e.Fate.FENCED)
    assert script.effects[-1] == fx.Passivate()


@pytest.mark.parametrize("again", [Phase.CALLING, Phase.COMMITTING])
def test_late_answers_from_before_a_loss_are_ignored_by_the_same_turn_done_again(
    again: Phase,
) -> None:
    script = script_in(committing)
    script.give(e.LeaseLost("lock"))
    script.tick(1.0)
    script.grant()
    script.claim(message("1", 1, turn_job_id="j1"))
    if again is Phase.COMMITTING:
        script.answered()
    assert script.phase is again
    assert script.give(e.TurnStarted("j1", 1, e.Fate.FENCED)) == ()
    assert script.give(e.AiAnswered("j1", 1, e.Answer("late", None))) == ()
    assert script.give(e.TurnCommitted("j1", 1, e.Fate.FENCED)) == ()
    assert script.phase is again


def test_late_answers_about_settlements_and_deliveries_of_an_earlier_epoch_are_ignored() -> None:
    script = Script().own(
        message("1", 1, sender_type="agent"),
        deliveries=((Delivery("j0", "default", "body", ("m0",)), 0.0),),
    )
    epoch = script.conversation.epoch
    assert script.give(e.MessageSettled(epoch - 1, "m1", e.Fate.FENCED)) == ()
    assert script.give(e.DeliveryCounted(epoch - 1, "j0", e.Fate.FENCED)) == ()
    script.counted("j0")
    assert script.give(e.DeliveryEnded(epoch - 1, "j0", "retry", 0, 9.0)) == ()
    assert script.phase is Phase.IDLE


def test_the_caller_of_a_fenced_settlement_is_told_what_the_database_says() -> None:
    script = script_in(settling)
    script.settled("1", e.Fate.FENCED)
    script.tick(30.0)
    script.grant()
    script.claim()
    script.fetched()
    assert script.words() == {"m1": Word.GONE}


def test_after_a_pause_the_ai_is_asked_once_the_row_keeps_others_away_again() -> None:
    """Who has no Redis claims by the row alone, which lapses one lease time after the last turn."""
    script = Script().own(trusted_until=28.0)
    script.give(e.LeaseRenewed("lock", e.LeaseKind.REDIS, 1e6))
    guard_seconds = script.conversation.limits.guard_seconds
    script.now = guard_seconds - 1.0
    script.turn("1")
    script.now += guard_seconds - 1.0
    script.receive("2")
    assert script.all(fx.CallAi)
    script.answered()
    script.committed()
    script.delivered("j2")
    script.now += guard_seconds
    script.receive("3")
    assert script.one(fx.StartTurn).message_ids == ("m3",)
    assert not script.all(fx.CallAi)
    script.started()
    assert script.all(fx.CallAi)
