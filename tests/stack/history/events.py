"""What a history is made of. All times are monotonic seconds of the test's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.stack.stubs import AiCallRecord, DeliveryRecord

__all__ = ["FINAL", "Commit", "Request", "Row", "Story", "Verdict"]

FINAL = {"completed", "failed", "cancelled", "rejected", "superseded"}

Row = Mapping[str, Any]


class Verdict(StrEnum):
    """What a client knows after a request."""

    OK = "ok"
    """It was told that the message is accepted."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The connection ended without an answer."""


@dataclass(frozen=True)
class Request:
    """One attempt of a client to send a message."""

    conversation_id: str
    message_id: str
    started_at: float
    ended_at: float
    verdict: Verdict
    code: str | None = None
    """Of a refusal: ``overloaded``, ``storage_unavailable``, …"""
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Commit:
    """One write of the end of a turn, as a trigger in the database saw it."""

    job_id: str
    epoch: int
    """Under which it was written."""
    held_epoch: int
    """That of the conversation at that moment."""
    at: float


@dataclass(frozen=True)
class Story:
    """All that is known of one conversation."""

    conversation_id: str
    epoch: int = 0
    """Of the conversation's row, now."""
    rows: list[Row] = field(default_factory=list)
    """Its messages, the bot's among them, as they were accepted."""
    jobs: dict[str, Row] = field(default_factory=dict)
    ai_calls: list[AiCallRecord] = field(default_factory=list)
    deliveries: list[DeliveryRecord] = field(default_factory=list)
    commits: list[Commit] | None = None
    """None: nobody looked."""
    sent_at: dict[str, float] = field(default_factory=dict)
    """When the job's delivery was recorded as sent."""

    @property
    def messages(self) -> list[Row]:
        """What users said, as it was accepted."""
        return [it for it in self.rows if it["sender_type"] == "user"]

    @property
    def turns(self) -> list[Row]:
        """The jobs that are committed, in the order of their commits."""
        return [it for it in self.commitments if it.get("retried_by") is None]

    @property
    def commitments(self) -> list[Row]:
        """The same, with those that failed and whose messages were asked for again."""
        committed = [it for it in self.jobs.values() if it["committed_at"] is not None]
        return sorted(committed, key=lambda it: it["committed_at"])

    @property
    def taken(self) -> list[DeliveryRecord]:
        """What the platform took, in order."""
        return [it for it in self.deliveries if 200 <= it.status < 300]

    def job_of(self, message: Row) -> Row:
        """Return the job to which a message's own job leads."""
        job = self.jobs[message["job_id"]]
        seen: set[str] = set()
        while job["status"] == "superseded":
            assert job["id"] not in seen, f"(A) jobs supersede each other: {sorted(seen)}"
            seen.add(job["id"])
            assert job["superseded_by"] in self.jobs, f"(A) job {job['id']} leads nowhere"
            job = self.jobs[job["superseded_by"]]
        return job

    def pending(self) -> list[str]:
        """Name what is not finished yet."""
        return [
            f"message {row['message_id']} of {self.conversation_id}"
            for row in self.rows
            if not row["is_processed"]
        ] + [
            f"job {row['id']} of {self.conversation_id} ({row['status']})"
            for row in self.jobs.values()
            if row["status"] not in FINAL or row["delivery_status"] == "pending"
        ]

    def tell(self) -> str:
        """Tell it all, for the reader of a failure."""
        start = min((it.started_at for it in self.ai_calls), default=0.0)
        lines = [f"  message {dict(it)}" for it in self.rows]
        lines += [f"  job {dict(it)}" for it in self.jobs.values()]
        lines += [f"  {it}" for it in self.commits or ()]
        lines += [
            f"  call {it.idempotency_key} {it.body['message_ids']} at {it.started_at - start:.3f}"
            f" ended {_since(start, it.ended_at)} cut off {_since(start, it.cut_off_at)}"
            for it in self.ai_calls
        ]
        lines += [
            f"  delivery {it.idempotency_key} {it.status} at {it.received_at - start:.3f}"
            for it in self.deliveries
        ]
        return "\n".join(lines)


def _since(start: float, moment: float | None) -> str:
    return "never" if moment is None else f"{moment - start:.3f}"
