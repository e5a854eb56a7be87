"""Lease, claim, an operator's reset, and letting go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import Phase
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from tests.unit.conversation.script import Script, message
from tests.unit.conversation.situations import (
    BUSY,
    WORK,
    calling,
    committing,
    debouncing,
    fenced,
    script_in,
    sending,
    starting,
)


def test_the_lease_comes_first_then_the_claim_then_the_work() -> None:
    script = Script()
    script.receive("1")
    assert script.one(fx.AcquireLease) == fx.AcquireLease(1)
    script.grant()
    assert script.one(fx.Claim) == fx.Claim(1, 0, "lock", e.LeaseKind.REDIS, None)
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


@pytest.mark.parametrize("prepare", BUSY)
def test_a_reset_stops_everything_and_starts_afresh(prepare: Callable[[Script], None]) -> None:
    script = script_in(prepare)
    script.give(e.ConversationReset())
    assert not [it for it in script.effects if isinstance(it, WORK)]
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


def test_after_idle_time_the_lease_is_released_and_the_conversation_forgotten() -> None:
    script = Script().own()
    script.turn("1")
    assert script.conversation.deadline() == 60.0
    script.tick(60.0)
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.Passivate]


def test_undelivered_answers_do_not_keep_it_in_memory() -> None:
    script = script_in(sending)
    script.delivered("j1", "retry", retry_at=500.0)
    script.tick(60.0)
    assert script.effects[-1] == fx.Passivate()


@pytest.mark.parametrize("prepare", [starting, calling, committing])
def test_a_host_that_gives_it_up_finishes_the_turn_and_starts_no_further_one(
    prepare: Callable[[Script], None],
) -> None:
    script = script_in(prepare)
    script.give(e.Released())
    script.receive("9")
    if prepare is starting:
        script.started()
    if prepare is not committing:
        script.answered()
    script.committed()
    assert script.all(fx.Deliver)
    script.delivered("j1")
    release, hand_over, end = script.effects[-3:]
    assert isinstance(release, fx.ReleaseLease)
    assert hand_over == fx.HandOver(None, ("m9",))
    assert end == fx.Passivate()
    assert not script.all(fx.StartTurn)


def test_a_host_that_gives_it_up_hands_a_burst_to_the_next_one() -> None:
    script = script_in(debouncing)
    script.give(e.Released())
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.HandOver, fx.Passivate]
    assert script.one(fx.HandOver) == fx.HandOver(None, ("m1",))


@pytest.mark.parametrize("prepare", [Script.own, fenced])
def test_a_host_that_gives_it_up_forgets_what_is_not_under_way(
    prepare: Callable[[Script], object],
) -> None:
    script = Script()
    prepare(script)
    script.give(e.Released())
    assert script.effects[-1] == fx.Passivate()


def test_a_host_that_gives_it_up_while_claiming_gives_it_back() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.Released())
    script.claim(message("1", 1))
    assert [type(it) for it in script.effects] == [fx.ReleaseLease, fx.HandOver, fx.Passivate]
    assert script.one(fx.HandOver) == fx.HandOver(None, ("m1",))


@pytest.mark.parametrize("is_by_database", [False, True])
def test_a_holder_that_keeps_its_lease_is_left_to_its_work(is_by_database: bool) -> None:
    """Nothing stays in memory for ever because of an owner that lives and cannot be told."""
    script = Script()
    script.receive("1")

    def refuse() -> None:
        attempt, retry_at = script.conversation.attempt, script.now + 1.0
        if is_by_database:
            script.give(e.LeaseUnknown(attempt, "lock"))
            script.give(e.ClaimRefused(attempt, retry_at))
        else:
            script.give(e.LeaseRefused(attempt, "other", retry_at, reachable=False))

    refuse()
    while script.now < script.conversation.limits.lease_ttl_seconds:
        assert script.phase is Phase.BLOCKED
        script.tick(1.0)
        refuse()
    assert script.phase is Phase.BLOCKED, "its lease may just have lapsed"
    script.tick(1.0)
    refuse()
    assert script.words() == {"m1": Word.GONE}
    assert script.effects[-1] == fx.Passivate()


def test_after_a_claim_a_refusal_is_counted_anew() -> None:
    script = Script()
    script.receive("1")
    script.give(e.LeaseRefused(1, "other", 5.0, reachable=False))
    script.tick(5.0)
    script.grant()
    script.claim(message("1", 1))
    script.give(e.LeaseLost("lock"))
    script.tick(100.0)
    script.give(e.LeaseRefused(script.conversation.attempt, "other", 105.0, reachable=False))
    assert script.phase is Phase.BLOCKED


def test_an_idle_conversation_takes_a_renewal_in_without_further_ado() -> None:
    script = Script()
    script.own(trusted_until=29.0)
    renewal = e.LeaseRenewed(script.conversation.lock_id, e.LeaseKind.REDIS, 39.0)

    assert script.conversation.extend(renewal, 10.0)
    assert script.conversation.trusted_until == 39.0
    assert script.phase is Phase.IDLE


@pytest.mark.parametrize(
    ("lock_id", "kind", "now"),
    [
        ("another", e.LeaseKind.REDIS, 10.0),
        (None, e.LeaseKind.DATABASE, 10.0),
        (None, e.LeaseKind.REDIS, 29.0),
    ],
)
def test_a_renewal_from_which_something_follows_is_an_event(
    lock_id: str | None, kind: e.LeaseKind, now: float
) -> None:
    script = Script()
    script.own(trusted_until=29.0)
    own = script.conversation.lock_id

    assert not script.conversation.extend(e.LeaseRenewed(lock_id or own, kind, 39.0), now)
    assert script.conversation.trusted_until == 29.0


def test_a_renewal_during_a_turn_is_an_event() -> None:
    script = Script()
    script.own(trusted_until=29.0)
    script.receive("1")
    renewal = e.LeaseRenewed(script.conversation.lock_id, e.LeaseKind.REDIS, 39.0)

    assert not script.conversation.extend(renewal, 10.0)
