"""Checks of what clients were told: (A), (C) and (F)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from tests.stack.history.events import Request, Row, Story, Verdict

__all__ = ["check_accepted", "check_requests"]

NOT_ACCEPTED = {"overloaded", "rate_limited"}
"""Refusals that say that nothing was accepted; others say that nobody knows."""


def check_accepted(stories: Mapping[str, Story], accepted: Mapping[str, Mapping[str, Any]]) -> None:
    """What got a 200 is stored as it was sent; ``accepted`` are the bodies, by message id."""
    stored = _stored(stories)
    for message_id, body in accepted.items():
        row = stored.get((body["conversation_id"], message_id))
        assert row is not None, f"(A) {message_id} was accepted and is not stored"
        assert row["content"] == body["message_content"], f"(A) {message_id} is stored otherwise"


def check_requests(stories: Mapping[str, Story], requests: Iterable[Request]) -> None:
    """Check all that clients of these conversations were told."""
    by_conversation: dict[str, list[Request]] = {it: [] for it in stories}
    for request in requests:
        if request.conversation_id in by_conversation:
            by_conversation[request.conversation_id].append(request)
    for conversation_id, own in by_conversation.items():
        story = stories[conversation_id]
        seqs = {it["message_id"]: it["seq"] for it in story.rows if it["message_id"] is not None}
        _check_refused(seqs, own)
        _check_invented(story, own)
        _check_told(story, own)
        _check_order_of_acceptance(seqs, own)


def _stored(stories: Mapping[str, Story]) -> dict[tuple[str, str], Row]:
    return {
        (story.conversation_id, row["message_id"]): row
        for story in stories.values()
        for row in story.rows
        if row["message_id"] is not None
    }


def _check_refused(seqs: Mapping[str, int], requests: list[Request]) -> None:
    """What was only ever refused before acceptance is not stored."""
    maybe = {
        it.message_id
        for it in requests
        if it.verdict is not Verdict.REFUSED or it.code not in NOT_ACCEPTED
    }
    wrong = {it.message_id for it in requests if it.message_id in seqs} - maybe
    assert not wrong, f"(F) {sorted(wrong)} were refused and are stored"


def _check_invented(story: Story, requests: list[Request]) -> None:
    invented = {it["message_id"] for it in story.messages} - {it.message_id for it in requests}
    assert not invented, f"(A) nobody has sent {sorted(invented)}"


def _check_told(story: Story, requests: list[Request]) -> None:
    """Who was told that a job has answered it finds itself in that job."""
    for request in requests:
        result = request.result or {}
        if request.verdict is not Verdict.OK or result.get("status") != "completed":
            continue
        job = story.jobs.get(result["job_id"])
        assert job is not None, f"(A) {request.message_id} was told of a job that is not there"
        is_so = job["committed_at"] is not None and request.message_id in job["message_ids"]
        assert is_so, f"(A) {request.message_id} was told that job {job['id']} has answered it"


def _check_order_of_acceptance(seqs: Mapping[str, int], requests: list[Request]) -> None:
    """What was first sent after another was known to be taken is stored after that.

    Messages that were taken more than once are left out: one that was rejected first is new then.
    """
    taken = Counter(it.message_id for it in requests if it.verdict is Verdict.OK)
    known = sorted(
        (it.ended_at, seqs[it.message_id])
        for it in requests
        if it.verdict is Verdict.OK and taken[it.message_id] == 1 and it.message_id in seqs
    )
    first_sent: dict[str, float] = {}
    for request in requests:
        moment = first_sent.get(request.message_id, request.started_at)
        first_sent[request.message_id] = min(moment, request.started_at)
    latest = -1
    place = 0
    for message_id, moment in sorted(first_sent.items(), key=itemgetter(1)):
        while place < len(known) and known[place][0] < moment:
            latest = max(latest, known[place][1])
            place += 1
        seq = seqs.get(message_id)
        assert seq is None or seq > latest, f"(C) {message_id} was stored before an earlier one"
