"""A message whose owners go away in the middle of it is tried alone, and in the end given up."""

from __future__ import annotations

from actors.conversation import Limits, Message, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.outbox import Delivery
from tests.unit.conversation.script import QUEUE, RESTART, Script, message
from tests.unit.conversation.world import Request, World

SORRY = Policy(fallback_message="sorry")


def claimed(attempts: int, *messages: Message, policy: Policy | None = None) -> Script:
    """An owner for which this is the attempt of that number."""
    script = Script(policy or Policy())
    script.give(e.Poked(None, 0))
    script.grant()
    script.claim(*messages, attempts=attempts)
    return script


def test_the_first_two_attempts_are_as_ever() -> None:
    for attempts in (0, 1, 2):
        script = claimed(attempts, message("1", 1), message("2", 2))
        start = script.one(fx.StartTurn)
        assert (start.message_ids, start.attempts) == (("m1", "m2"), 0)


def test_from_the_third_on_a_turn_waits_and_takes_one_message_only() -> None:
    for attempts, pause in ((3, 1.0), (4, 2.0), (5, 4.0)):
        script = claimed(attempts, message("1", 1), message("2", 2))
        assert script.all(fx.StartTurn) == []
        assert script.conversation.deadline() == pause
        script.tick(pause - 0.1)
        assert script.all(fx.StartTurn) == []
        script.tick(0.1)
        start = script.one(fx.StartTurn)
        assert (start.message_ids, start.attempts) == (("m1",), attempts + 1)
        assert start.is_exclusive == (attempts > 3)
        # Counted before the AI is asked.
        assert script.phase is Phase.STARTING
        assert script.all(fx.CallAi) == []
        script.started()
        assert [it.message_id for it in script.one(fx.CallAi).messages] == ["m1"]


def test_a_turn_that_was_begun_with_several_messages_is_taken_apart() -> None:
    begun = [message(f"{number}", number, turn_job_id="j1") for number in (1, 2, 3)]
    script = claimed(3, *begun)
    script.tick(1.0)
    start = script.one(fx.StartTurn)
    assert (start.job_id, start.message_ids) == ("j1", ("m1",))
    assert start.superseded_job_ids == ()
    script.started()
    script.answered()
    script.committed()
    # The count has ended, and the rest is a turn as any other.
    start = script.one(fx.StartTurn)
    assert (start.job_id, start.message_ids, start.attempts) == ("j2", ("m2", "m3"), 0)


def test_nothing_joins_a_message_that_is_tried_alone() -> None:
    for policy in (RESTART, QUEUE, Policy(debounce_seconds=2.0)):
        script = claimed(4, message("1", 1, policy), policy=policy)
        script.tick(2.0)
        script.receive("2")
        assert script.all(fx.AbandonAi) == []
        script.started()
        assert [it.message_id for it in script.one(fx.CallAi).messages] == ["m1"]


def test_after_the_fifth_attempt_it_fails_without_the_ai_and_the_rest_goes_on() -> None:
    script = claimed(6, message("1", 1, SORRY), message("2", 2, SORRY), policy=SORRY)
    start = script.one(fx.StartTurn)
    assert (start.message_ids, start.attempts, start.is_exclusive) == (("m1",), 6, False)
    script.started()
    assert script.all(fx.CallAi) == []
    commit = script.one(fx.CommitTurn)
    assert (commit.status, commit.reason, commit.reply) == ("failed", "ai_error", "sorry")
    assert commit.attempts == 5
    assert commit.error == "its owner went away 5 times while answering it"
    script.committed()
    assert script.one(fx.StartTurn).message_ids == ("m2",)
    script.delivered("j1")
    assert script.told("1").word is fx.Word.FAILED
    assert script.told("1").reason == "ai_error"


def test_what_is_recorded_or_cancelled_leaves_the_next_a_first_attempt() -> None:
    disabled = Policy(enabled=False)
    script = claimed(5, message("1", 1, disabled))
    script.settled("1")
    script.receive("2")
    assert script.one(fx.StartTurn).attempts == 0
    script = claimed(4, message("1", 1), message("2", 2))
    script.give(e.JobCancelled("j1"))
    assert script.one(fx.StartTurn).attempts == 0


def test_a_start_that_the_database_refuses_fails_the_message_that_is_tried_alone() -> None:
    script = claimed(3, message("1", 1))
    script.tick(1.0)
    script.started(e.Fate.REFUSED)
    assert script.one(fx.CommitTurn).status == "failed"


def test_an_answer_that_the_database_refuses_ends_with_less_and_less_to_say() -> None:
    script = Script(SORRY).own()
    script.receive("1")
    script.answered("unstorable")
    script.committed(e.Fate.REFUSED)
    second = script.one(fx.CommitTurn)
    assert (second.status, second.reason) == ("failed", "ai_invalid_response")
    assert (second.reply, second.first_position) == ("sorry", 1)
    script.committed(e.Fate.REFUSED)
    third = script.one(fx.CommitTurn)
    assert (third.status, third.reply, third.answer) == ("failed", None, None)
    assert (third.reason, third.first_position) == ("ai_invalid_response", 1)
    # If even that is refused, something else is wrong; it is not asked for again every second.
    script.committed(e.Fate.REFUSED)
    assert script.phase is Phase.BLOCKED
    assert script.conversation.wake_at == Limits().lease_ttl_seconds


def _is_deadly(request: Request) -> bool:
    effect = request.effect
    if not isinstance(effect, fx.CallAi) or request.event is not None:
        return False
    return any(it.message_id == "poison" for it in effect.messages)


def test_a_message_that_kills_its_host_is_given_up_and_its_neighbours_are_answered() -> None:
    world = World([SORRY], Limits())
    for name in ("poison", "second", "third"):
        world.submit(name, "host-0", content=name)
    calls = 0
    for _ in range(200):
        world.advance(4.0)
        world.sweep("host-0")
        world.tick("host-0")
        while world.requests:
            request = world.requests[0]
            if _is_deadly(request):
                calls += 1
                world.requests.remove(request)
                world.crash("host-0")
                world.advance(31.0)
                break
            world.perform(request)
        if not world.database.pending:
            break
    world.settle()
    world.check_end()
    jobs = {it: world.database.jobs[world.database.answered[it]] for it in world.database.rows}
    assert (jobs["poison"].outcome, jobs["poison"].message_ids) == ("failed", ("poison",))
    assert {jobs["second"].outcome, jobs["third"].outcome} == {"completed"}
    assert calls <= Limits().attempts + 1


def test_what_is_pending_again_is_read_after_the_turn_and_what_is_on_its_way() -> None:
    script = Script().own()
    script.receive("1")
    script.give(e.Reopened())
    assert script.effects == ()
    script.started()
    script.answered()
    script.committed()
    assert script.one(fx.Deliver).job_id == "j1"
    assert script.all(fx.AcquireLease) == []
    script.delivered("j1")
    assert script.all(fx.ReleaseLease) != []
    assert script.all(fx.AcquireLease) != []
    script.grant()
    again = message("1", 9, job_id="j9", turn_job_id="j9")
    script.claim(again)
    assert script.one(fx.StartTurn).job_id == "j9"


def test_the_sweeper_tells_of_what_is_pending_again_if_nobody_else_did() -> None:
    script = Script().own()
    script.turn("1")
    script.give(e.Poked("m1", 1, "j1"))
    assert script.all(fx.AcquireLease) == []
    script.give(e.Poked("m1", 1, "j9"))
    assert script.all(fx.AcquireLease) != []
    script = Script().own()
    script.turn("1")
    script.give(e.Poked(None, 1))
    assert script.all(fx.AcquireLease) != []
    script.grant()
    script.claim(deliveries=((Delivery("j5", "default", "body", ("m5",)), 0.0),))
    assert script.one(fx.CountDelivery).job_id == "j5"
    script.give(e.Poked(None, script.conversation.epoch))
    assert script.effects == ()


def test_what_is_pending_again_wakes_whoever_is_asked_first() -> None:
    script = Script()
    script.give(e.Reopened())
    assert script.all(fx.AcquireLease) != []
    script.grant()
    script.give(e.Reopened())
    script.claim()
    assert script.all(fx.AcquireLease) != [], "the claim may not have seen it"
