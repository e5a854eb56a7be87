"""How to bring a conversation into each of its phases."""

from __future__ import annotations

from collections.abc import Callable

from actors.conversation import Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from tests.unit.conversation.script import Script, message


def passive(script: Script) -> None:
    """Nothing has happened."""


def acquiring(script: Script) -> None:
    script.receive("1")


def claiming(script: Script) -> None:
    acquiring(script)
    script.grant()


def blocked(script: Script) -> None:
    acquiring(script)
    script.give(e.LeaseRefused(1, "other", 5.0, reachable=False))


def idle(script: Script) -> None:
    script.own()


def debouncing(script: Script) -> None:
    script.own()
    script.receive("1", Policy(debounce_seconds=2.0))


def starting(script: Script) -> None:
    script.own(message("1", 1), message("2", 2))


def calling(script: Script) -> None:
    script.own()
    script.receive("1")


def committing(script: Script) -> None:
    calling(script)
    script.answered()


def fenced(script: Script) -> None:
    committing(script)
    script.committed(e.Fate.FENCED)


def sending(script: Script) -> None:
    """Idle, with a delivery under way."""
    committing(script)
    script.committed()


def settling(script: Script) -> None:
    """Idle, with a message's end being written down."""
    script.own()
    script.agent("1")


def fetching(script: Script) -> None:
    """Idle, with a message being looked up."""
    script.own()
    script.give(e.Poked("m1", 0))


PHASES: dict[Phase, Callable[[Script], None]] = {
    Phase.PASSIVE: passive,
    Phase.ACQUIRING: acquiring,
    Phase.CLAIMING: claiming,
    Phase.BLOCKED: blocked,
    Phase.FENCED: fenced,
    Phase.IDLE: idle,
    Phase.DEBOUNCING: debouncing,
    Phase.STARTING: starting,
    Phase.CALLING: calling,
    Phase.COMMITTING: committing,
}

BUSY = [debouncing, starting, calling, committing, sending, settling, fetching]
"""Everything that an owner can be at."""

WORK = (fx.CallAi, fx.StartTurn, fx.CommitTurn, fx.Deliver, fx.SettleMessage, fx.CountDelivery)
"""What only an owner may do."""


def script_in(situation: Callable[[Script], None]) -> Script:
    """Return a new conversation that is brought there."""
    script = Script()
    situation(script)
    return script
