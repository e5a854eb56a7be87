"""Checks of what the AI and the platform saw: (D) and (P)."""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.stack.history.events import Story
from tests.stack.history.turns import CLOCK_SECONDS
from tests.stack.stubs import AiCallRecord

__all__ = ["check_ai", "check_commits", "check_deliveries"]


def check_commits(story: Story) -> None:
    """Every turn was committed once, under the epoch that held then."""
    if story.commits is None:
        return
    for commit in story.commits:
        assert commit.epoch == commit.held_epoch, (
            f"(D) job {commit.job_id} was committed under epoch {commit.epoch}"
            f" when {commit.held_epoch} held"
        )
    counts = Counter(commit.job_id for commit in story.commits)
    assert max(counts.values(), default=1) == 1, f"(D) committed more than once: {counts}"
    committed = {turn["id"] for turn in story.commitments}
    assert committed == set(counts), f"(D) commits {sorted(counts)} of turns {sorted(committed)}"


def check_ai(story: Story, *, is_undisturbed: bool, calls_may_overlap: bool) -> None:
    """Every answer comes from the AI, which was asked one thing at a time."""
    if not calls_may_overlap:
        _check_one_call_at_a_time(story.ai_calls)
    for turn in story.turns:
        led_here = [
            call
            for call in story.ai_calls
            if call.body["job_id"] == turn["id"]
            and call.body["message_ids"] == list(turn["message_ids"])
            and call.ended_at is not None
        ]
        if turn["outcome_status"] == "completed":
            assert led_here, f"(D) turn {turn['id']} was committed and the AI never answered it"
    if is_undisturbed:
        seen = Counter(it for call in story.ai_calls for it in call.body["message_ids"])
        repeated = [message_id for message_id, count in seen.items() if count > 1]
        assert not repeated, f"the AI was asked twice about {repeated}"
        keys = Counter(call.idempotency_key for call in story.ai_calls)
        assert not [key for key, count in keys.items() if count > 1], f"keys {keys}"


def _check_one_call_at_a_time(calls: list[AiCallRecord]) -> None:
    before: AiCallRecord | None = None
    for call in sorted(calls, key=lambda it: it.started_at):
        if before is not None:
            ended_at = before.ended_at if before.ended_at is not None else before.cut_off_at
            assert ended_at is not None, "(B) an AI call began while one was running"
            assert ended_at <= call.started_at, "(B) two AI calls at the same time"
        before = call


def check_deliveries(story: Story, *, is_undisturbed: bool, may_deliver_late: bool) -> None:
    """What was committed is delivered, in order and as it was committed, and nothing else."""
    _check_keys(story)
    turns = {turn["id"]: turn for turn in story.commitments}
    for record in story.deliveries:
        turn = turns.get(record.idempotency_key)
        assert turn is not None, f"(D) {record.idempotency_key} was sent and is not committed"
        assert record.received_at > turn["committed_at"] - CLOCK_SECONDS, (
            f"(D) {record.idempotency_key} was sent before it was committed"
        )
        assert record.body["message_ids"] == list(turn["message_ids"]), "(D) another turn was sent"
        sent_at = story.sent_at.get(record.idempotency_key)
        assert may_deliver_late or sent_at is None or record.received_at < sent_at, (
            f"(D) {record.idempotency_key} was sent again after it was recorded as sent"
        )
    sent = [it for it in turns.values() if it["delivery_status"] == "sent"]
    expected = [it["id"] for it in sorted(sent, key=lambda it: it["delivery_seq"])]
    first = list(dict.fromkeys(it.idempotency_key for it in story.taken))
    assert first == expected, f"(D) delivered {first}, recorded as sent {expected}"
    if is_undisturbed:
        assert len(story.taken) == len(first), "delivered twice"


def _check_keys(story: Story) -> None:
    bodies = defaultdict(set)
    keys_of = defaultdict(set)
    asked_again = {it["id"] for it in story.commitments if it.get("retried_by") is not None}
    for record in story.deliveries:
        bodies[record.idempotency_key].add(record.raw)
        keys_of[record.body["job_id"]].add(record.idempotency_key)
        if record.idempotency_key in asked_again:
            continue  # it said that there was no answer; the answer has a key of its own
        for message_id in record.body["message_ids"]:
            keys_of[message_id].add(record.idempotency_key)
    for key, seen in bodies.items():
        assert len(seen) == 1, f"(P) key {key} has {len(seen)} bodies"
    for name, keys in keys_of.items():
        assert len(keys) == 1, f"(P) {name} was sent under {sorted(keys)}"
