"""What the storage writer's statements do, by their rules, on rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from storage.claim_records import OwnerRenewal
from storage.codec import OperationKind
from storage.records import Accepted, FencedOutcome, JobStatus, LeaseKind, NewMessage
from storage.turn_records import MessageSettlement, TurnCommit, TurnStart
from tests.simulation.accepting import accept
from tests.simulation.checker import Checker
from tests.simulation.claiming import claim
from tests.simulation.delivering import record_delivery, start_delivery
from tests.simulation.rows import ConversationRow, JobRow, MessageRow

__all__ = ["UNSTORABLE", "Tables"]

UNSTORABLE = "what no database stores"
"""A reply with this in it is refused as PostgreSQL refuses a bad value."""


class Tables:
    """All rows. Each operation is atomic, and may be repeated."""

    def __init__(
        self, now: Callable[[], float], checker: Checker, note: Callable[[str], None]
    ) -> None:
        self._now = now
        self._note = note
        self.checker = checker
        self.conversations: dict[str, ConversationRow] = {}
        self.conversation_of_job: dict[str, str] = {}
        self.seqs = count(1)
        self._delivery_seqs = count(1)
        self._operations: dict[OperationKind, Callable[[Any], Any]] = {
            OperationKind.ACCEPT: self.accept,
            OperationKind.CLAIM: partial(claim, self),
            OperationKind.START_TURN: self.start_turn,
            OperationKind.COMMIT_TURN: self.commit_turn,
            OperationKind.SETTLE: self.settle,
            OperationKind.START_DELIVERY: partial(start_delivery, self),
            OperationKind.RECORD_DELIVERY: partial(record_delivery, self),
            OperationKind.RENEW: self.renew,
        }

    @property
    def now(self) -> float:
        """The database's clock: Unix seconds."""
        return self._now()

    def apply(self, kind: OperationKind, items: list[Any]) -> list[Any]:
        """Do a batch of operations in one transaction."""
        operation = self._operations[kind]
        results = [operation(item) for item in items]
        for item, result in zip(items, results, strict=True):
            self._note(f"database {kind} {_brief(item)}: {_brief(result)}")
        return results

    def refuses(self, item: Any) -> bool:
        """Whether a transaction with this in it fails: a job that is made twice, a bad value."""
        if isinstance(item, TurnCommit):
            return UNSTORABLE in (item.ai_response or "")
        if not isinstance(item, NewMessage):
            return False
        known = self.stored(item)
        if known is not None:
            own = self.job(known.job_id)
            is_revived = own is not None and own.status is JobStatus.REJECTED
            if not is_revived or known.processed_at is None:
                return False
        return item.job_id in self.conversation_of_job

    def is_current(self, conversation: ConversationRow, epoch: int) -> bool:
        """The fence: whether an owner of this epoch may write."""
        return conversation.epoch == epoch

    def job(self, job_id: str) -> JobRow | None:
        """Return a job."""
        conversation_id = self.conversation_of_job.get(job_id)
        return None if conversation_id is None else self._of(conversation_id).jobs.get(job_id)

    def _of(self, conversation_id: str) -> ConversationRow:
        return self.conversations[conversation_id]

    def stored(self, message: NewMessage) -> MessageRow | None:
        """Return the message that has this one's identity already."""
        conversation = self.conversations.get(message.conversation_id)
        return conversation.messages.get(message.message_id or "") if conversation else None

    def accept(self, message: NewMessage) -> Accepted:
        """Store a message, revive a rejected one, or say that it is a duplicate."""
        return accept(self, message)

    def _judged(
        self, conversation: ConversationRow, epoch: int, job_id: str, message_ids: list[str]
    ) -> FencedOutcome:
        job = conversation.jobs.get(job_id)
        rows = [conversation.messages.get(it) for it in message_ids]
        if not self.is_current(conversation, epoch):
            return FencedOutcome.FENCED
        if job is None:
            return FencedOutcome.STALE
        if not job.is_open:
            return FencedOutcome.CANCELLED
        if any(row is None or row.processed_at is not None for row in rows):
            return FencedOutcome.STALE
        return FencedOutcome.DONE

    def start_turn(self, start: TurnStart) -> FencedOutcome:
        """Put messages into a turn."""
        conversation = self._of(start.conversation_id)
        outcome = self._judged(conversation, start.epoch, start.job_id, start.message_ids)
        if outcome is not FencedOutcome.DONE:
            return outcome
        job = conversation.jobs[start.job_id]
        job.status, job.superseded_by = JobStatus.PROCESSING, None
        job.message_ids, job.epoch = start.message_ids, start.epoch
        job.started_at, job.finished_at = job.started_at or self.now, None
        for job_id in start.superseded_job_ids:
            merged = conversation.jobs[job_id]
            if job_id != job.job_id and merged.is_open:
                merged.status, merged.superseded_by = JobStatus.SUPERSEDED, job.job_id
                merged.finished_at = merged.finished_at or self.now
        for message_id in start.message_ids:
            conversation.messages[message_id].turn_job_id = job.job_id
        conversation.running_job_id = job.job_id
        until = self.now + start.owner_ttl_seconds
        conversation.owner_until = max(conversation.owner_until or until, until)
        if start.attempts > 0:
            self._free_others(conversation, start)
        return outcome

    def _free_others(self, conversation: ConversationRow, start: TurnStart) -> None:
        """A turn that is tried again with its first message alone lets go of the others."""
        conversation.attempts = max(conversation.attempts, start.attempts)
        for row in conversation.pending():
            if row.turn_job_id != start.job_id or row.message_id in start.message_ids:
                continue
            row.turn_job_id = None
            own = conversation.jobs[row.job_id]
            is_merged = own.superseded_by == start.job_id and own.status is JobStatus.SUPERSEDED
            if own.job_id != start.job_id and is_merged:
                own.status, own.superseded_by, own.finished_at = JobStatus.QUEUED, None, None

    def commit_turn(self, commit: TurnCommit) -> FencedOutcome:
        """End a turn."""
        conversation = self._of(commit.conversation_id)
        job = conversation.jobs.get(commit.job_id)
        if job is not None and job.committed_at is not None and job.epoch == commit.epoch:
            return FencedOutcome.DONE
        outcome = self._judged(conversation, commit.epoch, commit.job_id, commit.message_ids)
        if job is None or outcome is not FencedOutcome.DONE:
            return outcome
        for offset, message_id in enumerate(commit.message_ids):
            row = conversation.messages[message_id]
            row.processed_at, row.turn_job_id = self.now, job.job_id
            self._place(conversation, commit.first_position + offset, row)
        last = commit.first_position + len(commit.message_ids) - 1
        if commit.reply is not None:
            last += 1
            conversation.lines[last] = ("bot", commit.reply)
        self._end_turn(job, commit)
        conversation.last_position = max(conversation.last_position, last)
        conversation.status = commit.conversation_status
        if commit.context_start is not None:
            conversation.context_start = commit.context_start
        conversation.owner, conversation.lock_id = commit.owner, commit.lock_id
        conversation.lease_kind = commit.lease_kind
        conversation.owner_until = self.now + commit.owner_ttl_seconds
        conversation.running_job_id, conversation.last_settled_at = None, self.now
        conversation.attempts = 0
        self._guard(commit)
        self.checker.turns.committed(commit)
        return outcome

    def _end_turn(self, job: JobRow, commit: TurnCommit) -> None:
        is_delivered = commit.delivery_body is not None and commit.status != JobStatus.CANCELLED
        job.status = JobStatus.PROCESSING if is_delivered else commit.status
        job.outcome_status, job.reason, job.superseded_by = commit.status, commit.reason, None
        job.message_ids, job.bot_id = commit.message_ids, commit.bot_id
        job.epoch, job.lock_id = commit.epoch, commit.lock_id
        job.ai_response, job.extracted_actions = commit.ai_response, commit.extracted_actions
        job.started_at, job.committed_at = job.started_at or self.now, self.now
        if commit.status != JobStatus.CANCELLED:
            job.action_count = sum(action.status == "pending" for action in commit.actions)
        if is_delivered:
            job.delivery_body, job.delivery_status = commit.delivery_body, "pending"
            job.delivery_seq = next(self._delivery_seqs)
            job.delivery_attempts = int(commit.delivering)
            job.next_delivery_at = self.now
        else:
            job.finished_at = self.now

    def _place(self, conversation: ConversationRow, position: int | None, row: MessageRow) -> None:
        if position is not None:
            conversation.lines[position] = (row.new.sender_type, row.new.content)

    def settle(self, settlement: MessageSettlement) -> FencedOutcome:
        """End a message without a turn."""
        conversation = self._of(settlement.conversation_id)
        row = conversation.messages.get(settlement.message_id)
        job = conversation.jobs.get(settlement.job_id)
        is_same = row is not None and job is not None and row.job_id == job.job_id
        end = (settlement.status, settlement.reason)
        is_decided = row is not None and row.processed_at is not None
        if job and is_same and is_decided and (job.status, job.reason) == end:
            return FencedOutcome.DONE
        if not self.is_current(conversation, settlement.epoch):
            return FencedOutcome.FENCED
        if job is not None and job.status is JobStatus.CANCELLED:
            return FencedOutcome.CANCELLED
        if job is None or row is None or row.processed_at is not None or not is_same:
            return FencedOutcome.STALE
        row.processed_at, row.turn_job_id = self.now, None
        self._place(conversation, settlement.position, row)
        job.status, job.outcome_status = settlement.status, settlement.status
        job.reason, job.superseded_by = settlement.reason, None
        job.epoch, job.finished_at = settlement.epoch, self.now
        conversation.last_position = max(conversation.last_position, settlement.position or 0)
        conversation.last_settled_at = self.now
        if settlement.reason in ("with_agent", "bot_disabled"):
            conversation.attempts = 0
        self.checker.turns.settled(settlement)
        return FencedOutcome.DONE

    def renew(self, renewal: OwnerRenewal) -> FencedOutcome:
        """Extend an ownership, or end it."""
        conversation = self._of(renewal.conversation_id)
        is_end = renewal.owner_ttl_seconds <= 0
        is_owner = conversation.owner == renewal.owner or (conversation.owner is None and is_end)
        if not is_owner or not self.is_current(conversation, renewal.epoch):
            return FencedOutcome.FENCED
        conversation.lease_kind = renewal.lease_kind
        conversation.owner = None if is_end else renewal.owner
        conversation.owner_until = None if is_end else self.now + renewal.owner_ttl_seconds
        if not is_end:
            self._guard(renewal)
        return FencedOutcome.DONE

    def _guard(self, owned: TurnCommit | OwnerRenewal) -> None:
        if owned.lease_kind is LeaseKind.DATABASE:
            key, seconds = owned.conversation_id, owned.owner_ttl_seconds
            self.checker.leases.hold(key, owned.owner, seconds, owned.lease_kind)


_BRIEF = ("conversation_id", "epoch", "job_id", "message_id", "message_ids", "owner", "status")


def _brief(record: Any) -> str:
    outcome = str(getattr(record, "outcome", "")) or (record if isinstance(record, str) else "")
    said = [outcome, *(str(getattr(record, name, "")) for name in _BRIEF)]
    return " ".join(part for part in said if part)
