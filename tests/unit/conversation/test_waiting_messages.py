"""The mailbox: bounded, in order of acceptance, with gaps only behind its last message."""

from __future__ import annotations

from actors.conversation import Limits
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.mailbox import Mailbox
from tests.unit.conversation.script import Script, message


def _box(*names: str, room: int = 2) -> Mailbox:
    box = Mailbox(Limits(waiting_messages=room))
    for name in names:
        box.put(message(name, int(name)))
    return box


def _ids(box: Mailbox) -> list[str]:
    return [it.message_id for it in box]


def test_what_finds_no_room_is_left_out() -> None:
    box = _box("1", "2")
    assert not box.put(message("3", 3))
    assert box.has_more
    assert _ids(box) == ["m1", "m2"]


def test_after_a_gap_later_messages_stay_out_even_if_there_is_room() -> None:
    box = _box("1", "2", "3")
    box.take_first()
    assert not box.put(message("4", 4))
    assert _ids(box) == ["m2"]


def test_an_earlier_message_takes_the_place_of_the_last() -> None:
    box = _box("2", "3")
    assert box.put(message("1", 1))
    assert box.has_more
    assert _ids(box) == ["m1", "m2"]


def test_what_lies_behind_a_partial_fetch_is_left_out() -> None:
    box = _box("1", "9", room=5)
    box.cut_after(4)
    assert _ids(box) == ["m1"]


def test_a_turn_of_an_earlier_owner_is_done_again_with_exactly_its_messages() -> None:
    box = Mailbox(Limits())
    for number, turn in ((1, "j1"), (2, "j1"), (3, None)):
        box.put(message(str(number), number, turn_job_id=turn))
    assert [it.message_id for it in box.take_turn(gathered=False)] == ["m1", "m2"]


def test_a_turn_that_may_be_here_only_in_part_is_fetched_before_it_is_done_again() -> None:
    script = Script(limits=Limits(waiting_messages=2)).own(
        message("0", 0), message("1", 1, turn_job_id="j1"), has_more=True
    )
    assert script.one(fx.StartTurn).message_ids == ("m0",)
    whole = message("1", 1, turn_job_id="j1"), message("2", 2, turn_job_id="j1")
    script.started()
    script.fetched(*whole)
    script.answered()
    script.committed()
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_a_message_is_not_answered_ahead_of_an_earlier_one_that_has_not_come_yet() -> None:
    script = Script().own()
    script.receive("2", seq=2, previous_seq=1)
    assert script.all(fx.FetchPending)
    assert not script.all(fx.StartTurn)
    script.fetched(message("1", 1), message("2", 2))
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_the_earlier_message_may_come_while_it_is_looked_up() -> None:
    script = Script().own()
    script.receive("2", seq=2, previous_seq=1)
    script.receive("1", seq=1)
    assert not script.all(fx.StartTurn)
    script.fetched(message("1", 1), message("2", 2))
    assert script.one(fx.StartTurn).message_ids == ("m1", "m2")


def test_nothing_is_looked_up_where_messages_come_as_they_were_accepted() -> None:
    script = Script().own()
    for seq in (1, 2, 3):
        script.receive(str(seq), seq=seq, previous_seq=seq - 1)
        assert not script.all(fx.FetchPending)


def test_what_the_claim_has_seen_is_no_gap() -> None:
    script = Script().own(last_seq=7)
    script.receive("8", seq=8, previous_seq=7)
    assert script.one(fx.StartTurn).message_ids == ("m8",)


def test_a_message_that_came_during_the_claim_waits_for_an_earlier_one_too() -> None:
    script = Script()
    script.give(e.Poked(None, 0))
    script.grant()
    script.give(e.MessageReceived(message("9", 9, previous_seq=8), 1))
    script.claim(last_seq=7)
    assert script.all(fx.FetchPending)
    assert not script.all(fx.StartTurn)


def test_a_message_tried_again_is_not_passed_by_one_accepted_after_it() -> None:
    script = Script().own()
    script.turn("1")
    # Nobody has said yet that m1 was asked for again, as 2, when 3 comes.
    script.receive("3", seq=3, previous_seq=2)
    script.fetched(message("1", 2, job_id="j2"), message("3", 3))
    assert not script.all(fx.StartTurn)
    assert script.all(fx.AcquireLease)
    script.grant()
    script.claim(message("1", 2, job_id="j2"), message("3", 3))
    assert script.one(fx.StartTurn).message_ids == ("m1", "m3")
