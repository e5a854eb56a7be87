"""Messages that find no room, and messages that come twice."""

from __future__ import annotations

import pytest

from actors.conversation import Limits, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from actors.conversation.mailbox import Mailbox
from tests.unit.conversation.script import QUEUE, REJECT, Script, message
from tests.unit.conversation.situations import (
    script_in,
    sending,
)


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
    script = script_in(sending)
    script.receive("1")
    assert not script.words()
    script.delivered("j1")
    assert script.words() == {"m1": Word.COMPLETED}


def test_long_messages_past_the_limit_stay_in_the_database() -> None:
    mailbox = Mailbox(Limits(waiting_characters=100))
    taken = [mailbox.put(message(str(seq), seq, content="x" * 40)) for seq in range(1, 5)]
    assert taken == [True, True, False, False]
    assert mailbox.has_more
    assert mailbox.weight == 80
    mailbox.take_turn(gathered=True)
    assert mailbox.weight == 0


def test_a_single_message_may_be_of_any_length() -> None:
    mailbox = Mailbox(Limits(waiting_characters=100))
    assert mailbox.put(message("1", 1, content="x" * 1_000))
    assert not mailbox.put(message("2", 2, content="x"))
    assert mailbox.take_first().message_id == "m1"
    assert mailbox.weight == 0


def test_an_earlier_owners_turn_that_stands_scattered_hides_none_of_those_between() -> None:
    box = Mailbox(Limits())
    first, last = message("1", 1, turn_job_id="j1"), message("4", 4, turn_job_id="j1")
    between = message("2", 2), message("3", 3)
    for it in (first, *between, last):
        box.put(it)
    assert box.turn_of("m4", gathered=False) == [first, last]
    assert box.turn_of("m3", gathered=False) == [*between]


def test_behind_a_full_mailbox_callers_are_told_at_once_and_nothing_is_looked_up() -> None:
    script = Script(QUEUE, Limits(waiting_messages=2)).own()
    script.receive("1")
    for number in range(2, 20):
        new = message(str(number), number, QUEUE, previous_seq=number - 1)
        event = e.MessageReceived(new, script.conversation.epoch)
        script.give(event)
        assert script.told(str(number)).word is Word.LOCKED
        assert not script.all(fx.FetchPending)
    assert [it.message_id for it in script.conversation.mailbox] == ["m2", "m3"]
    assert not script.conversation.unconfirmed
