"""People take over, and give back."""

from __future__ import annotations

from typing import Any

import pytest

from actors.conversation import Line, Phase, Policy
from actors.conversation import effects as fx
from actors.conversation import events as e
from actors.conversation.effects import Word
from tests.unit.conversation.script import MERGE, Script, message


def test_an_agent_message_cancels_the_running_turn() -> None:
    script = Script().own()
    script.receive("1")
    script.agent("2")
    assert script.all(fx.AbandonAi)
    commit = script.one(fx.CommitTurn)
    assert (commit.status, commit.reason, commit.reply) == ("cancelled", "agent_replied", None)
    script.committed(delivers=False)
    assert script.told("1").word is Word.FAILED
    assert script.told("1").reason == "agent_replied"


def test_what_an_agent_answers_stands_behind_what_it_answers_in_the_context() -> None:
    script = Script().own()
    script.receive("1")
    script.agent("2")
    assert script.one(fx.CommitTurn).first_position == 1
    assert script.one(fx.SettleMessage).position == 2
    assert script.conversation.context_position == 0
    script.committed(delivers=False)
    assert [it.role for it in list(script.conversation.context)[1:]] == ["user", "assistant"]
    assert script.conversation.context_position == 2


def test_it_stands_behind_messages_that_are_still_being_marked_too() -> None:
    script = Script().own(message("1", 1), message("2", 2))
    script.seq = 2
    script.agent("3")
    script.agent("4")
    assert [it.position for it in script.all(fx.SettleMessage)] == [4]
    script.started()
    assert script.one(fx.CommitTurn).first_position == 1
    script.committed(delivers=False)
    roles = [it.role for it in list(script.conversation.context)[1:]]
    assert roles == ["user", "user", "assistant", "assistant"]


def test_the_answer_of_a_call_that_an_agent_stopped_is_ignored() -> None:
    script = Script().own()
    script.receive("1")
    script.agent("2")
    assert script.give(e.AiAnswered("j1", 1, e.Answer("late", None))) == ()


def test_an_agent_message_does_not_cancel_a_turn_whose_commit_has_been_issued() -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    script.agent("2")
    assert not script.all(fx.CommitTurn)
    script.committed()
    assert script.all(fx.Deliver)


def test_an_agent_message_while_messages_are_being_marked_cancels_once_they_are() -> None:
    script = Script().own(message("1", 1), message("2", 2))
    script.seq = 2
    script.agent("3")
    assert not script.all(fx.CommitTurn)
    script.started()
    assert script.one(fx.CommitTurn).status == "cancelled"
    assert not script.all(fx.CallAi)


def test_a_bot_that_does_not_yield_goes_on() -> None:
    script = Script(Policy(yield_to_agent=False)).own()
    script.receive("1")
    script.agent("2")
    assert script.phase is Phase.CALLING
    assert not script.all(fx.AbandonAi)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sender_type": "agent"}, "not_from_user"),
        ({"sender_type": "bot"}, "not_from_user"),
        ({"sender_type": "system"}, "not_from_user"),
        ({"content": ""}, "empty_message"),
    ],
)
def test_what_needs_no_answer_is_recorded(fields: dict[str, Any], reason: str) -> None:
    script = Script().own()
    script.receive("1", **fields)
    settle = script.one(fx.SettleMessage)
    assert (settle.status, settle.reason) == ("completed", reason)
    script.settled("1")
    assert (script.told("1").word, script.told("1").reason) == (Word.RECORDED, reason)


def test_attachments_without_text_are_answered() -> None:
    script = Script().own()
    script.receive("1", content="", attachments="[{}]")
    assert script.all(fx.CallAi)


def test_a_disabled_bots_messages_are_recorded() -> None:
    script = Script(Policy(enabled=False)).own()
    script.receive("1")
    assert script.one(fx.SettleMessage).reason == "bot_disabled"


def test_recorded_messages_are_part_of_the_context() -> None:
    script = Script().own()
    script.agent("1")
    script.receive("2")
    assert [(it.role, it.content) for it in script.one(fx.CallAi).context] == [
        ("user", "before"),
        ("assistant", "text 1"),
    ]


def _transferred(policy: Policy) -> Script:
    script = Script(policy).own()
    script.receive("1")
    script.answered(transfers=True)
    script.committed()
    script.delivered("j1")
    return script


def test_after_a_transfer_user_messages_are_recorded() -> None:
    script = _transferred(MERGE)
    script.receive("2")
    assert script.one(fx.SettleMessage).reason == "with_agent"


def test_a_bot_set_to_continue_answers_after_a_transfer() -> None:
    script = _transferred(Policy(silent_after_transfer=False))
    script.receive("2")
    assert script.all(fx.CallAi)


def test_a_message_that_waited_during_the_transferring_turn_is_recorded() -> None:
    script = Script().own()
    script.receive("1")
    script.receive("2")
    script.answered(transfers=True)
    script.committed()
    assert script.one(fx.SettleMessage).reason == "with_agent"


def test_the_bot_comes_back_after_the_handoff_timeout_without_a_message() -> None:
    policy = Policy(handoff_timeout_seconds=60.0)
    script = Script(policy).own(status="with_agent", last_activity_at=100.0)
    script.receive("1", accepted_at=160.0)
    assert script.one(fx.SettleMessage).reason == "with_agent"
    script.receive("2", accepted_at=220.5)
    assert script.all(fx.CallAi)
    script.answered()
    assert script.one(fx.CommitTurn).conversation_status == "active"


def test_the_agents_messages_put_the_handoff_timeout_off() -> None:
    policy = Policy(handoff_timeout_seconds=60.0)
    script = Script(policy).own(status="with_agent", last_activity_at=100.0)
    script.agent("1")
    script.receive("2", sender_type="agent", accepted_at=150.0)
    script.receive("3", accepted_at=200.0)
    assert script.one(fx.SettleMessage).reason == "with_agent"


def test_an_agent_who_replies_after_the_timeout_keeps_the_conversation() -> None:
    policy = Policy(handoff_timeout_seconds=60.0)
    script = Script(policy).own(status="with_agent", last_activity_at=100.0)
    script.receive("1", accepted_at=200.0)
    script.agent("2")
    assert script.one(fx.CommitTurn).conversation_status == "with_agent"


def test_after_the_end_the_next_message_opens_it_again_with_an_empty_context() -> None:
    script = Script().own()
    script.receive("1")
    script.answered(ends=True)
    commit = script.one(fx.CommitTurn)
    assert commit.conversation_status == "ended"
    assert commit.context_start == commit.first_position + 1
    script.committed()
    script.receive("2")
    assert script.one(fx.CallAi).context == ()
    script.answered()
    assert script.one(fx.CommitTurn).conversation_status == "active"


def test_a_failed_turn_says_the_fallback_message() -> None:
    script = Script(Policy(fallback_message="sorry")).own()
    script.receive("1")
    script.ai_failed("ai_timeout")
    commit = script.one(fx.CommitTurn)
    assert (commit.status, commit.reason, commit.reply) == ("failed", "ai_timeout", "sorry")
    script.committed()
    script.delivered("j1")
    assert (script.told("1").word, script.told("1").reason) == (Word.FAILED, "ai_timeout")


def test_a_failed_turn_without_a_fallback_is_answered_at_its_commit() -> None:
    script = Script().own()
    script.receive("1")
    script.ai_failed()
    script.committed(delivers=False)
    assert script.told("1").word is Word.FAILED


def test_an_answer_that_the_database_does_not_take_fails_the_turn() -> None:
    script = Script().own()
    script.receive("1")
    script.answered()
    script.committed(e.Fate.REFUSED)
    commit = script.one(fx.CommitTurn)
    assert (commit.status, commit.reason) == ("failed", "ai_invalid_response")
    assert commit.first_position == 1


def test_a_messages_own_context_is_used_in_place_of_the_stored_one() -> None:
    script = Script().own()
    script.receive("1", context=(Line("user", "brought along"),))
    assert [it.content for it in script.one(fx.CallAi).context] == ["brought along"]
