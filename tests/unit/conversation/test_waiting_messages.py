"""The mailbox: bounded, in order of acceptance, with gaps only behind its last message."""

from __future__ import annotations

from actors.conversation import Limits
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.mailbox import Mailbox
from tests.unit.conversation.script import QUEUE, Script, message


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


def test_a_message_does_not_overtake_one_that_is_still_on_its_way() -> None:
    """The one before it was accepted by another cluster, or by an ingress that died."""
    script = Script().own()
    script.give(e.MessageReceived(message("2", 2), script.epoch + 1, "m1"))
    assert script.all(fx.FetchPending)
    assert not script.all(fx.StartTurn)
    script.fetched(message("1", 1, QUEUE), message("2", 2, QUEUE))
    assert script.one(fx.StartTurn).message_ids == ("m1",)


def test_a_message_behind_one_that_is_known_needs_no_look_up() -> None:
    script = Script().own()
    script.receive("1")
    script.give(e.MessageReceived(message("2", 2), script.epoch + 1, "m1"))
    assert not script.all(fx.FetchPending)
    assert script.told("2").word is fx.Word.LOCKED
