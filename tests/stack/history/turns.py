"""Checks of the database's rows: (A), (B) and (C)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.stack.history.events import FINAL, Row, Story
from tests.stack.stubs import AiCallRecord

__all__ = ["check_turns"]

CLOCK_SECONDS = 0.05
"""How far apart two clocks of one machine may be read."""


def check_turns(story: Story) -> None:
    """Check the messages and turns of a conversation."""
    _check_messages(story)
    _check_order(story)
    _check_epochs(story)
    _check_overlap(story)


def _check_messages(story: Story) -> None:
    """Every message is stored once, is over, and in one turn if its job was one."""
    ids = Counter(it["message_id"] for it in story.messages)
    assert max(ids.values(), default=1) == 1, f"(A) stored more than once: {ids}"
    in_turns = Counter(message_id for turn in story.turns for message_id in turn["message_ids"])
    for message in story.messages:
        name = message["message_id"]
        job = story.job_of(message)
        assert job["status"] in FINAL, f"(A) job {job['id']} is {job['status']}"
        assert message["is_processed"], f"(A) {name} waits"
        expected = 0 if job["committed_at"] is None else 1
        assert in_turns[name] == expected, f"(A) {name} is in {in_turns[name]} turns"
        if message["turn_job_id"] is not None:
            assert job["id"] == message["turn_job_id"], f"(A) the job of {name} is another's"
        if expected:
            assert name in job["message_ids"], f"(A) {name} leads to a turn without it"


def _check_order(story: Story) -> None:
    """What was accepted earlier is answered earlier, or in the same turn."""
    by_id = {message["message_id"]: message for message in story.messages}
    latest = -1
    position = 0
    for turn in story.turns:
        assert turn["message_ids"], f"(A) turn {turn['id']} answers nothing"
        assert set(turn["message_ids"]) <= set(by_id), f"(A) turn {turn['id']} answers nobody"
        own = [by_id[message_id] for message_id in turn["message_ids"]]
        in_order = sorted(own, key=lambda it: (it["timestamp"], it["seq"]))
        assert own == in_order, f"(C) order within turn {turn['id']}"
        assert min(it["seq"] for it in own) > latest, f"(C) turn {turn['id']} overtook an earlier"
        latest = max(it["seq"] for it in own)
        places = [it["position"] for it in own]
        assert None not in places, "(C) answered and not in the context"
        assert places == list(range(places[0], places[0] + len(own))), "(C) gaps in a turn"
        assert places[0] > position, "(C) two turns at one place of the context"
        position = places[-1]


def _check_epochs(story: Story) -> None:
    for before, after in pairwise(story.turns):
        if before["epoch"] is not None and after["epoch"] is not None:
            assert before["epoch"] <= after["epoch"], (
                f"(B) epoch {after['epoch']} was committed after epoch {before['epoch']}"
            )
    for turn in story.turns:
        assert (turn["epoch"] or 0) <= story.epoch, f"(B) turn {turn['id']} is from the future"


def _check_overlap(story: Story) -> None:
    """The AI is asked for a turn only when the turn before it is committed."""
    for before, after in pairwise(story.turns):
        call = _deciding_call(story, after)
        if call is not None:
            assert call.started_at > before["committed_at"] - CLOCK_SECONDS, (
                f"(B) turn {after['id']} began before turn {before['id']} was committed"
            )


def _deciding_call(story: Story, turn: Row) -> AiCallRecord | None:
    """Return the AI call that a turn's answer surely comes from; None where that is not sure.

    Of several that ended before the commit any may have been the one.
    """
    calls = [
        it
        for it in story.ai_calls
        if it.body["job_id"] == turn["id"] and it.body["message_ids"] == list(turn["message_ids"])
        if it.ended_at is not None and it.ended_at < turn["committed_at"] + CLOCK_SECONDS
    ]
    return max(calls, key=lambda it: it.started_at, default=None)
