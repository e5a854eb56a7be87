"""A conversation that is given up, because its shard has moved: finish, release, hand over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import effects as fx
from actors.conversation import events as e
from tests.unit.conversation.script import Script, message
from tests.unit.conversation.situations import calling, debouncing


def kinds(script: Script) -> list[type[fx.Effect]]:
    return [type(effect) for effect in script.effects]


def test_an_idle_conversation_is_released_and_nobody_is_told() -> None:
    script = Script()
    script.own()
    script.give(e.Released())
    assert kinds(script) == [fx.ReleaseLease, fx.Passivate]


def test_a_turn_under_way_is_finished_and_delivered_before_the_lease_is_given_back() -> None:
    script = Script()
    calling(script)
    script.give(e.Released())
    assert script.effects == ()
    script.answered()
    script.committed()
    assert script.all(fx.Deliver)
    assert not script.all(fx.ReleaseLease)
    script.delivered("j1")
    assert kinds(script)[-2:] == [fx.ReleaseLease, fx.Passivate]
    assert script.words() == {"m1": fx.Word.COMPLETED}


def test_what_comes_during_the_last_turn_is_told_so_and_waits_for_the_next_host() -> None:
    script = Script()
    calling(script)
    script.give(e.Released())
    script.receive("2")
    assert script.told("2").word is fx.Word.LOCKED
    script.answered()
    script.committed()
    script.delivered("j1")
    assert script.told("1").word is fx.Word.RESTART_NEEDED
    assert script.one(fx.HandOver) == fx.HandOver(None, ("m2",))


def test_what_is_not_looked_up_yet_is_handed_over_as_it_is() -> None:
    script = Script()
    calling(script)
    script.give(e.Released())
    script.give(e.Poked("m7", script.conversation.epoch))
    assert not script.all(fx.FetchPending)
    script.answered()
    script.committed()
    script.delivered("j1")
    assert script.one(fx.HandOver) == fx.HandOver(None, ("m7",))


def test_messages_that_are_in_the_database_only_are_told_of_too() -> None:
    script = Script()
    script.receive("1")
    script.grant()
    script.give(e.Released())
    script.claim(message("1", 1), has_more=True)
    assert script.one(fx.HandOver).owner is None


def acquiring(script: Script) -> None:
    script.receive("1")
    script.give(e.Released())
    script.give(e.LeaseRefused(1, "elsewhere", script.now + 1.0, reachable=False))


def blocked(script: Script) -> None:
    script.receive("1")
    script.give(e.LeaseRefused(1, "elsewhere", script.now + 1.0, reachable=False))
    script.give(e.Released())


def fenced(script: Script) -> None:
    calling(script)
    script.give(e.Released())
    script.answered()
    script.committed(e.Fate.FENCED)


def lost(script: Script) -> None:
    calling(script)
    script.give(e.Released())
    script.give(e.LeaseLost("lock"))


@pytest.mark.parametrize("prepare", [acquiring, blocked, debouncing, fenced, lost])
def test_whatever_it_waits_for_its_messages_go_to_the_next_host(
    prepare: Callable[[Script], None],
) -> None:
    script = Script()
    prepare(script)
    if prepare is debouncing:
        script.give(e.Released())
    assert script.one(fx.HandOver) == fx.HandOver(None, ("m1",))
    assert script.effects[-1] == fx.Passivate()


def test_one_whose_lease_a_live_host_holds_is_left_to_that_host_alone() -> None:
    script = Script()
    script.receive("1")
    script.give(e.Released())
    script.give(e.LeaseRefused(1, "holder", script.now + 1.0, reachable=True))
    assert script.one(fx.HandOver) == fx.HandOver("holder", ("m1",))
