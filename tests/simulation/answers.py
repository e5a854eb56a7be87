"""What clients were told, held against what the database says in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from storage.records import JobStatus
from tests.simulation.rows import ConversationRow, JobRow

__all__ = ["Answers"]

LONGEST_CHAIN = 20


@dataclass(frozen=True, slots=True)
class _Answer:
    conversation_id: str
    message_id: str
    result: dict[str, Any]


class Answers:
    """Every answer that said that a message is stored."""

    def __init__(self, report: Callable[[str, object], None]) -> None:
        self._report = report
        self._answers: list[_Answer] = []

    def __len__(self) -> int:
        return len(self._answers)

    def told(self, conversation_id: str, message_id: str, result: dict[str, Any]) -> None:
        """A client got a 200."""
        self._answers.append(_Answer(conversation_id, message_id, result))

    def check(self, conversations: dict[str, ConversationRow]) -> None:
        """Check that what was accepted is there, and that what was told is so."""
        for answer in self._answers:
            conversation = conversations.get(answer.conversation_id)
            if conversation is None or answer.message_id not in conversation.messages:
                self._report("what is accepted is stored", answer.message_id)
                continue
            self._check_job(conversation, answer)

    def _check_job(self, conversation: ConversationRow, answer: _Answer) -> None:
        job_id = answer.result.get("job_id")
        if job_id is None:
            return
        job = _final(conversation, job_id)
        if job is None or not job.status.is_final:
            self._report("a job that was handed out leads to the answer", (job_id, job))
            return
        said = answer.result.get("ai_response") or (
            (answer.result.get("current_result") or {}).get("ai_response")
        )
        stored = orjson.loads(job.ai_response) if job.ai_response else None
        status = answer.result["status"]
        if said is not None and said != stored:
            self._report("what was told was committed", (job_id, said, stored))
        if status == "completed" and job.outcome_status is not JobStatus.COMPLETED:
            self._report("what was told was committed", (job_id, status, job.outcome_status))
        is_answered = status in ("completed", "failed") and said is not None
        if is_answered and answer.message_id not in job.message_ids:
            self._report("an answer is the message's own", (job_id, answer.message_id))


def _final(conversation: ConversationRow, job_id: str) -> JobRow | None:
    job = conversation.jobs.get(job_id)
    for _ in range(LONGEST_CHAIN):
        if job is None or job.status is not JobStatus.SUPERSEDED:
            return job
        job = conversation.jobs.get(job.superseded_by or "")
    return None
