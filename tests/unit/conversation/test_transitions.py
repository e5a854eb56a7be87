"""The table of transitions: what is not in it raises and changes nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from actors.conversation import IllegalTransition, Phase
from actors.conversation import events as e
from actors.conversation.transitions import TRANSITIONS
from tests.unit.conversation.script import Script, message
from tests.unit.conversation.situations import PHASES

ROOT = Path(__file__).parents[3]
ANSWER = e.Answer("reply", None)


def _fresh(script: Script) -> dict[type[e.Event], e.Event]:
    """One event of each kind that is not stale by its numbers, as far as there can be one."""
    conversation = script.conversation
    attempt, turn = conversation.attempt, conversation.turn
    job_id, call = (turn.job_id, turn.call) if turn is not None else ("j1", 1)
    events: list[e.Event] = [
        e.MessageReceived(message("9", 9), 0),
        e.Poked("m9", 0),
        e.LeaseGranted(attempt, "lock", 1.0),
        e.LeaseRefused(attempt, "other", 1.0, reachable=False),
        e.LeaseUnknown(attempt, "lock"),
        e.LeaseRenewed(conversation.lock_id, e.LeaseKind.REDIS, 1.0),
        e.LeaseLost(conversation.lock_id),
        e.Claimed(attempt, 1, 1.0, "active", 0, 0.0, (), (), (), False),
        e.ClaimStale(attempt, 1),
        e.ClaimRefused(attempt, 1.0),
        e.ClaimMissing(attempt),
        e.PendingFetched(conversation.fetch_attempt, (), True),
        e.TurnStarted(job_id, call, e.Fate.DONE),
        e.AiAnswered(job_id, call, ANSWER),
        e.AiFailed(job_id, call, "ai_error"),
        e.TurnCommitted(job_id, call, e.Fate.DONE),
        e.MessageSettled(conversation.epoch, "m1", e.Fate.DONE),
        e.DeliveryCounted(conversation.epoch, "j1", e.Fate.DONE),
        e.DeliveryEnded(conversation.epoch, "j1", "sent"),
        e.DeliveryRecorded(conversation.epoch, "j1", "sent", e.Fate.DONE),
        e.JobCancelled("j9"),
        e.ConversationReset(),
        e.Reopened(),
        e.Released(),
        e.Tick(),
    ]
    return {type(event): event for event in events}


KINDS = sorted(_fresh(Script()), key=lambda kind: kind.__name__)


def test_every_phase_has_a_row_and_every_event_is_in_some_row() -> None:
    assert set(TRANSITIONS) == set(Phase) == set(PHASES)
    assert {kind for row in TRANSITIONS.values() for kind in row} == set(e.Event.__args__)
    assert set(KINDS) == set(e.Event.__args__)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_handled_or_ignored_as_late_or_raises_and_changes_nothing(
    phase: Phase, kind: type[e.Event]
) -> None:
    script = Script()
    PHASES[phase](script)
    assert script.phase is phase
    event = _fresh(script)[kind]
    before = script.snapshot()
    if kind in TRANSITIONS[phase]:
        script.give(event)
        return
    with suppress(IllegalTransition):
        assert script.give(event) == ()
    assert script.snapshot() == before


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        (Phase.PASSIVE, e.LeaseGranted),
        (Phase.ACQUIRING, e.Claimed),
        (Phase.CLAIMING, e.LeaseGranted),
        (Phase.IDLE, e.LeaseGranted),
        (Phase.STARTING, e.AiAnswered),
        (Phase.STARTING, e.TurnCommitted),
        (Phase.CALLING, e.TurnCommitted),
        (Phase.COMMITTING, e.AiAnswered),
    ],
)
def test_an_illegal_event_raises(phase: Phase, kind: type[e.Event]) -> None:
    script = Script()
    PHASES[phase](script)
    before = script.snapshot()
    with pytest.raises(IllegalTransition, match=f"{kind.__name__} in phase {phase.value}"):
        script.give(_fresh(script)[kind])
    assert script.snapshot() == before


def test_the_diagram_shows_every_phase_and_stands_in_the_architecture() -> None:
    diagram = (ROOT / "docs" / "conversation-states.mmd").read_text()
    assert diagram.startswith("stateDiagram-v2")
    names = {word for line in diagram.splitlines() for word in line.replace(":", " ").split()}
    assert {phase.name.capitalize() for phase in Phase} <= names
    architecture = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    section = architecture.split("## The states of a conversation\n")[1].split("\n## ")[0]
    assert "conversation-states.mmd" in section
    assert f"```mermaid\n{diagram}```" in section
