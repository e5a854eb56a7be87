"""Lease, claim, trust, fences, an operator's reset, and letting go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import Limits, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from actors.conversation.outbox import Delivery
from tests.unit.conversation.script import QUEUE, REJECT, Script, message
from tests.unit.conversation.situations import (
    BUSY,
    calling,
    committing,
    debouncing,
    fenced,
    sending,
    settling,
    starting,
)

SILENT = (fx.CallAi, fx.StartTurn, fx.CommitTurn, fx.Deliver, fx.SettleMessage, fx.CountDelivery)


def _in(prepare: Callable[[Script], None]) -> Script:
    script = Script()
    prepare(script)
    return script


def test_the_lease_comes_first_then_the_claim_then_the_work() -> None:
    script = Script()
    script.receive("1")
    assert script.effects == (fx.AcquireLease(1),)
    script.grant()
    assert script.effects == (fx.Claim(1, 0, "lock", e.LeaseKind.REDIS, None),)
    script.claim(message("1", 1))
    assert script.all(fx.CallAi)


def test_without_redis_the_database_guards_the_claim() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseUnknown(1, "lock"))
    assert script.one(fx.Claim).kind is e.LeaseKind.DATABASE


def test_a_message_that_the_claim_brings_too_is_processed_once() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.claim(message("1", 1))
    assert script.one(fx.StartTurn).message_ids == ("m1",)
    assert not script.all(fx.FetchPending)


def test_a_message_accepted_before_the_claim_and_not_brought_by_it_is_looked_up() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.claim()
    script.fetched()
    assert script.words() == {"m1": Word.GONE}


def test_a_message_accepted_under_the_claim_needs_no_look_up() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.MessageReceived(message("2", 2), 1))
    script.claim(message("1", 1))
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_a_stale_claim_gives_the_lease_back_and_starts_over_from_the_epoch_that_holds() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.ClaimStale(1, 7))
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.AcquireLease]
    script.grant()
    assert script.one(fx.Claim).epoch == 7


def test_after_too_many_lost_races_it_pauses() -> None:
    script = Script()
    script.receive("1")
    for epoch in range(1, 7):
        script.grant()
        script.give(e.ClaimStale(script.conversation.attempt, epoch))
    assert script.phase is Phase.BLOCKED
    script.tick(1.0)
    assert script.all(fx.AcquireLease)


def test_a_refused_lease_hands_the_messages_to_a_holder_that_can_be_reached() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseRefused(1, "other", 5.0, reachable=True))
    assert script.effects == (fx.HandOver("other", ("m1",)), fx.Passivate())


def test_a_refused_lease_is_asked_for_again_where_the_holder_cannot_be_reached() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseRefused(1, "other", 5.0, reachable=False))
    assert script.conversation.deadline() == 5.0
    script.tick(5.0)
    assert script.all(fx.AcquireLease)


def test_a_claim_that_the_database_refuses_gives_the_lease_back() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseUnknown(1, "lock"))
    script.give(e.ClaimRefused(1, 5.0))
    assert script.one(fx.ReleaseLease).lock_id == "lock"
    assert script.phase is Phase.BLOCKED


def test_an_erased_conversation_is_forgotten_and_callers_look_for_themselves() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.ClaimMissing(1))
    assert script.words() == {"m1": Word.GONE}
    assert script.effects[-1] == fx.Passivate()


def test_an_answer_to_an_attempt_that_was_given_up_is_ignored() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseRefused(1, "other", 5.0, reachable=False))
    assert script.give(e.LeaseGranted(1, "late", 99.0)) == ()


# ---------------------------------------------------------------------------------- trust


@pytest.mark.parametrize("prepare", BUSY)
def test_past_the_trust_window_an_owner_starts_and_delivers_nothing(
    prepare: Callable[[Script], None],
) -> None:
    script = _in(prepare)
    script.now = script.conversation.trusted_until
    script.receive("9")
    assert not [it for it in script.effects if isinstance(it, SILENT)]
    assert script.one(fx.ReleaseLease).lock_id == "lock"
    assert script.phase is Phase.BLOCKED


@pytest.mark.parametrize("prepare", BUSY)
def test_an_owner_is_due_a_tick_when_its_trust_ends(prepare: Callable[[Script], None]) -> None:
    deadline = _in(prepare).conversation.deadline()
    assert deadline is not None
    assert deadline <= 1e6


def test_an_answer_of_the_ai_past_the_trust_window_is_not_committed() -> None:
    script = _in(calling)
    script.now = script.conversation.trusted_until
    script.answered()
    assert not script.all(fx.CommitTurn)
    assert script.phase is Phase.BLOCKED


def test_a_commit_that_is_done_past_the_trust_window_is_not_delivered() -> None:
    script = _in(committing)
    script.now = script.conversation.trusted_until
    script.committed()
    assert not script.all(fx.Deliver)


def test_a_claim_answered_past_the_trust_window_starts_nothing() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.now = 28.0
    script.claim(message("1", 1), trusted_until=28.0)
    assert not [it for it in script.effects if isinstance(it, SILENT)]
    assert script.phase is Phase.BLOCKED


def test_a_renewal_extends_the_trust() -> None:
    script = Script().own(trusted_until=28.0)
    script.give(e.LeaseRenewed("lock", e.LeaseKind.REDIS, 38.0))
    script.now = 30.0
    script.receive("1")
    assert script.all(fx.CallAi)


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
    script = _in(prepare)
    script.give(e.LeaseLost("lock"))
    assert not [it for it in script.effects if isinstance(it, SILENT)]
    assert bool(script.all(fx.AbandonAi)) is (prepare is calling)
    assert script.phase is Phase.BLOCKED


def test_a_lease_lost_while_claiming_starts_over_later() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.LeaseLost("lock"))
    script.tick(1.0)
    assert script.all(fx.AcquireLease)


# ---------------------------------------------------------------------------------- fences


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
    script = _in(prepare)
    assert script.phase is Phase.FENCED
    assert not [it for it in script.effects if isinstance(it, SILENT)]
    assert script.conversation.deadline() == 30.0
    script.receive("9")
    assert script.effects == ()
    script.tick(30.0)
    assert script.all(fx.AcquireLease)


def test_a_fence_while_calling_abandons_the_call() -> None:
    script = _in(calling)
    script.started(e.Fate.FENCED)
    assert script.all(fx.AbandonAi)


def test_callers_of_a_fenced_turn_are_told_what_the_database_says() -> None:
    script = _in(fenced)
    script.tick(30.0)
    script.grant()
    script.claim()
    script.fetched()
    assert script.words() == {"m1": Word.GONE}


def test_callers_of_a_lost_turn_are_handed_to_the_next_owner() -> None:
    script = _in(sending)
    script.give(e.LeaseLost("lock"))
    script.tick(1.0)
    script.give(e.LeaseRefused(script.conversation.attempt, "other", 9.0, reachable=True))
    assert script.one(fx.HandOver).message_ids == ("m1",)


def test_a_host_that_stops_does_not_wait_for_a_fenced_conversation() -> None:
    script = _in(committing)
    script.give(e.Released())
    script.committed(e.Fate.FENCED)
    assert script.effects[-1] == fx.Passivate()


@pytest.mark.parametrize("again", [Phase.CALLING, Phase.COMMITTING])
def test_late_answers_from_before_a_loss_are_ignored_by_the_same_turn_done_again(
    again: Phase,
) -> None:
    script = _in(committing)
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


# ---------------------------------------------------------------------------------- reset


@pytest.mark.parametrize("prepare", BUSY)
def test_a_reset_stops_everything_and_starts_afresh(prepare: Callable[[Script], None]) -> None:
    script = _in(prepare)
    script.give(e.ConversationReset())
    assert not [it for it in script.effects if isinstance(it, SILENT)]
    assert isinstance(script.effects[-1], fx.AcquireLease)
    script.grant()
    script.give(e.ClaimStale(script.conversation.attempt, 5))
    script.grant()
    script.claim(message("9", 9))
    assert script.conversation.epoch == 6
    if script.conversation.fetching is not None:
        script.fetched(message("9", 9))
    assert script.one(fx.StartTurn).message_ids == ("m9",)


@pytest.mark.parametrize("phase", [Phase.PASSIVE, Phase.BLOCKED, Phase.FENCED])
def test_a_reset_wakes_who_waits(phase: Phase) -> None:
    script = Script()
    if phase is Phase.BLOCKED:
        script.receive("1")
        script.give(e.LeaseRefused(1, "other", 5.0, reachable=False))
    elif phase is Phase.FENCED:
        fenced(script)
    assert script.phase is phase
    script.give(e.ConversationReset())
    assert script.all(fx.AcquireLease)


def test_a_reset_while_claiming_voids_the_claim() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.ConversationReset())
    script.claim(message("1", 1))
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.AcquireLease]
    script.grant()
    script.claim(message("1", 1))
    assert script.all(fx.CallAi)


# ---------------------------------------------------------------------------------- letting go


def test_after_idle_time_the_lease_is_released_and_the_conversation_forgotten() -> None:
    script = Script().own()
    script.turn("1")
    assert script.conversation.deadline() == 60.0
    script.tick(60.0)
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.Passivate]


def test_undelivered_answers_do_not_keep_it_in_memory() -> None:
    script = _in(sending)
    script.delivered("j1", "retry", retry_at=500.0)
    script.tick(60.0)
    assert script.effects[-1] == fx.Passivate()


@pytest.mark.parametrize("prepare", [starting, calling, committing])
def test_a_host_that_stops_finishes_the_turn_and_starts_no_further_one(
    prepare: Callable[[Script], None],
) -> None:
    script = _in(prepare)
    script.give(e.Released())
    script.receive("9")
    if prepare is starting:
        script.started()
    if prepare is not committing:
        script.answered()
    script.committed()
    assert script.all(fx.Deliver)
    script.delivered("j1")
    assert [type(it) for it in script.effects][-2:] == [fx.ReleaseLease, fx.Passivate]
    assert not script.all(fx.StartTurn)


def test_a_host_that_stops_leaves_a_burst_to_the_next_owner() -> None:
    script = _in(debouncing)
    script.give(e.Released())
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.Passivate]


@pytest.mark.parametrize("prepare", [Script.own, fenced])
def test_a_host_that_stops_forgets_what_is_not_under_way(
    prepare: Callable[[Script], object],
) -> None:
    script = Script()
    prepare(script)
    script.give(e.Released())
    assert script.effects[-1] == fx.Passivate()


def test_a_host_that_stops_while_claiming_gives_it_back() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.Released())
    script.claim(message("1", 1))
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.Passivate]


# ---------------------------------------------------------------------------------- mailbox


def test_what_exceeds_the_mailbox_stays_in_the_database_and_is_fetched_in_order() -> None:
    script = Script(QUEUE, Limits(waiting_messages=2)).own()
    for name in "12345":
        script.receive(name)
    assert (script.told("5").word, script.told("5").job_id) == (Word.LOCKED, "j5")
    assert [it.message_id for it in script.conversation.mailbox] == ["m2", "m3"]
    answered = []
    for _ in range(3):
        script.answered()
        script.committed()
        if script.phase is Phase.IDLE:
            script.fetched(message("4", 4, QUEUE), message("5", 5, QUEUE))
        answered.append(script.one(fx.StartTurn).job_id)
        if script.all(fx.FetchPending):
            pending = [message(it, int(it), QUEUE) for it in "345" if f"j{it}" not in answered[:-1]]
            script.fetched(*pending)
    assert answered == ["j2", "j3", "j4"]


def test_a_message_that_came_during_a_fetch_does_not_overtake_those_that_found_no_room() -> None:
    limits = Limits(waiting_messages=2, turn_messages=2)
    script = Script(limits=limits).own()
    script.give(e.Poked("m1", 0))
    script.seq = 8
    script.receive("9")
    script.fetched(message("1", 1), message("2", 2), complete=False)
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")
    assert script.told("9").word is Word.LOCKED
    script.started()
    assert script.all(fx.FetchPending)


def test_more_messages_than_a_claim_brings_are_fetched_when_the_mailbox_is_empty() -> None:
    script = Script(limits=Limits(waiting_messages=2)).own(
        message("1", 1), message("2", 2), has_more=True
    )
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")
    assert not script.all(fx.FetchPending)
    script.started()
    assert script.all(fx.FetchPending)


def test_a_message_asked_for_that_a_partial_fetch_does_not_show_is_asked_for_again() -> None:
    script = Script(limits=Limits(waiting_messages=1)).own()
    script.give(e.Poked("m9", 0))
    script.fetched(message("1", 1), complete=False)
    script.answered()
    script.fetched(message("1", 1))
    assert script.words() == {"m9": Word.GONE}


@pytest.mark.parametrize("at", ["turn", "mailbox", "finished", "settling"])
def test_a_duplicate_starts_nothing(at: str) -> None:
    script = Script(REJECT if at == "settling" else Policy()).own()
    script.receive("1")
    if at == "turn":
        expected = Word.STARTED
    elif at in ("mailbox", "settling"):
        script.receive("2")
        expected = Word.LOCKED
    else:
        script.answered()
        script.committed()
        script.delivered("j1")
        expected = Word.GONE
    name = "2" if at in ("mailbox", "settling") else "1"
    script.receive(name)
    assert not script.all(fx.StartTurn)
    if at == "settling":
        script.settled("2")
    assert script.told(name).word is expected


def test_a_duplicate_of_a_turn_that_is_being_delivered_waits_for_its_outcome() -> None:
    script = _in(sending)
    script.receive("1")
    assert not script.words()
    script.delivered("j1")
    assert script.words() == {"m1": Word.COMPLETED}
