"""A database of one conversation, as lists: what the storage writer's statements do, by its rules.

Every operation may be repeated by a caller that did not get the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actors.conversation import Line, Message
from actors.conversation import effects as fx
from actors.conversation.events import Fate, LeaseKind
from actors.conversation.outbox import Delivery

FINAL = frozenset({"completed", "failed", "cancelled", "rejected", "superseded"})
UNFINISHED = frozenset({"queued", "processing", "superseded"})


@dataclass
class Job:
    """A row of ``jobs``."""

    job_id: str
    status: str = "queued"
    reason: str | None = None
    superseded_by: str | None = None
    message_ids: tuple[str, ...] = ()
    committed_by: int | None = None
    """Epoch of the commit."""
    outcome: str | None = None
    delivery: str | None = None
    """pending, sent, dead or cancelled; None: nothing is delivered."""
    bot_id: str = ""
    body: str = ""
    attempts: int = 0
    due_at: float = 0.0
    is_retried: bool = False
    is_sent_late: bool = False
    """Its delivery was given up and is tried again: behind what was sent before that, and with no
    place among what came since, for its owner may hear of it late."""


@dataclass
class Row:
    """A row of ``messages``. The message's job and order change when a rejected one comes again."""

    message: Message
    is_processed: bool = False
    position: int | None = None


@dataclass
class Database:
    """One conversation's rows."""

    epoch: int = 0
    status: str = "active"
    position: int = 0
    last_activity_at: float = 0.0
    context: list[Line] = field(default_factory=list)
    owner: str | None = None
    owner_until: float = 0.0
    kind: LeaseKind = LeaseKind.REDIS
    lock_id: str = ""
    running_job_id: str | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """Jobs in the order of their commits."""
    answered: dict[str, str] = field(default_factory=dict)
    """Which job's commit held a message."""
    last_seq: int = 0
    attempts: int = 0

    def accept(self, message: Message) -> bool:
        """Store a message, or make a rejected one pending again; False for a duplicate."""
        row = self.rows.get(message.message_id)
        if row is not None and self.jobs[row.message.job_id].status != "rejected":
            return False
        previous_seq, self.last_seq = self.last_seq, self.last_seq + 1
        stored = replace(message, seq=self.last_seq, previous_seq=previous_seq)
        self.rows[message.message_id] = Row(stored)
        self.jobs[message.job_id] = Job(message.job_id, message_ids=(message.message_id,))
        self.last_activity_at = max(self.last_activity_at, message.accepted_at)
        return True

    @property
    def pending(self) -> list[Message]:
        """The messages that nobody has decided, by order of acceptance."""
        rows = [self._as_read(row.message) for row in self.rows.values() if not row.is_processed]
        return sorted(rows, key=lambda message: message.seq)

    def _as_read(self, message: Message) -> Message:
        """A turn that has ended without the message does not hold it any more."""
        turn = self.jobs.get(message.turn_job_id or "")
        if turn is not None and turn.committed_by is None and turn.status in UNFINISHED:
            return message
        return replace(message, turn_job_id=None)

    @property
    def undelivered(self) -> list[Job]:
        """Committed answers on their way, by order of commits."""
        return [
            self.jobs[job_id] for job_id in self.commits if self.jobs[job_id].delivery == "pending"
        ]

    def claim(self, effect: fx.Claim, owner: str, now: float, ttl: float) -> str:
        """Raise the epoch; answer claimed, stale or refused."""
        if self.epoch == effect.epoch + 1 and self.lock_id == effect.lock_id:
            return "claimed"
        if self.epoch != effect.epoch:
            return "stale"
        guarded = LeaseKind.DATABASE in (effect.kind, self.kind)
        if guarded and self.owner_until > now and self.owner not in (owner, None):
            return "refused"
        self.epoch += 1
        self.owner, self.owner_until = owner, now + ttl
        self.kind, self.lock_id, self.running_job_id = effect.kind, effect.lock_id, None
        counted = max(self.attempts, min(self.attempts + 1, 3))
        self.attempts = counted if self.pending else 0
        return "claimed"

    def deliveries(self, now: float) -> tuple[tuple[Delivery, float], ...]:
        """The outbox as a claim brings it."""
        return tuple(
            (
                Delivery(job.job_id, job.bot_id, job.body, job.message_ids, attempts=job.attempts),
                max(now, job.due_at),
            )
            for job in self.undelivered
        )

    def start_turn(self, effect: fx.StartTurn) -> Fate:
        """Mark a turn's messages and merge their jobs."""
        job = self.jobs[effect.job_id]
        if effect.epoch != self.epoch:
            return Fate.FENCED
        if job.committed_by is not None or job.status not in UNFINISHED:
            return Fate.CANCELLED
        if any(self.rows[message_id].is_processed for message_id in effect.message_ids):
            return Fate.STALE
        job.status, job.superseded_by, job.message_ids = "processing", None, effect.message_ids
        for job_id in effect.superseded_job_ids:
            merged = self.jobs[job_id]
            if merged.committed_by is None and merged.status in UNFINISHED:
                merged.status, merged.superseded_by = "superseded", effect.job_id
        for message_id in effect.message_ids:
            row = self.rows[message_id]
            row.message = replace(row.message, turn_job_id=effect.job_id)
        if effect.attempts:
            self._free_others(effect)
        self.running_job_id = effect.job_id
        self.attempts = max(self.attempts, effect.attempts)
        return Fate.DONE

    def _free_others(self, effect: fx.StartTurn) -> None:
        for message in self.pending:
            row = self.rows[message.message_id]
            if message.message_id in effect.message_ids or message.turn_job_id != effect.job_id:
                continue
            row.message = replace(row.message, turn_job_id=None)
            job = self.jobs[message.job_id]
            if job.superseded_by == effect.job_id and job.status == "superseded":
                job.status, job.superseded_by = "queued", None

    def commit_turn(self, effect: fx.CommitTurn, body: str | None) -> Fate:
        """End a turn."""
        job = self.jobs[effect.job_id]
        if job.committed_by == effect.epoch:
            return Fate.DONE
        if effect.epoch != self.epoch:
            return Fate.FENCED
        if job.committed_by is not None or job.status not in UNFINISHED:
            return Fate.CANCELLED
        if any(self.rows[message.message_id].is_processed for message in effect.messages):
            return Fate.STALE
        self._write_turn(effect, job, body)
        return Fate.DONE

    def _write_turn(self, effect: fx.CommitTurn, job: Job, body: str | None) -> None:
        for offset, message in enumerate(effect.messages):
            row = self.rows[message.message_id]
            row.is_processed, row.position = True, effect.first_position + offset
            row.message = replace(row.message, turn_job_id=job.job_id)
            assert message.message_id not in self.answered, "answered twice"
            self.answered[message.message_id] = job.job_id
            self.context.append(message.line)
        if effect.reply is not None:
            self.context.append(Line("assistant", effect.reply))
        if effect.context_start is not None:
            self.context.clear()
        last = effect.first_position + len(effect.messages) - 1 + (effect.reply is not None)
        self.position = max(self.position, last)
        self.status, self.running_job_id = effect.conversation_status, None
        self.attempts = 0
        job.committed_by, job.outcome, job.reason = effect.epoch, effect.status, effect.reason
        job.superseded_by = None
        job.message_ids = tuple(message.message_id for message in effect.messages)
        is_delivered = body is not None and effect.status != "cancelled"
        job.status = "processing" if is_delivered else effect.status
        if is_delivered:
            job.delivery, job.body = "pending", body or ""
            job.bot_id = effect.messages[0].policy.bot_id
            job.attempts = int(effect.delivering)
        self.commits.append(job.job_id)

    def settle(self, effect: fx.SettleMessage) -> Fate:
        """End a message without a turn."""
        row, job = self.rows[effect.message.message_id], self.jobs[effect.message.job_id]
        is_same = row.message.job_id == job.job_id
        if (
            row.is_processed
            and is_same
            and (job.status, job.reason)
            == (
                effect.status,
                effect.reason,
            )
        ):
            return Fate.DONE
        if effect.epoch != self.epoch:
            return Fate.FENCED
        if job.status == "cancelled":
            return Fate.CANCELLED
        if row.is_processed or not is_same:
            return Fate.STALE
        row.is_processed, row.position = True, effect.position
        row.message = replace(row.message, turn_job_id=None)
        job.status, job.reason, job.superseded_by = effect.status, effect.reason, None
        if effect.reason in ("bot_disabled", "with_agent"):
            self.attempts = 0
        if effect.position is not None:
            self.position = max(self.position, effect.position)
            self.context.append(effect.message.line)
        return Fate.DONE

    def count(self, effect: fx.CountDelivery) -> Fate:
        """Count a delivery attempt."""
        job = self.jobs[effect.job_id]
        if effect.epoch != self.epoch:
            return Fate.FENCED
        if job.delivery != "pending":
            return Fate.CANCELLED
        job.attempts += 1
        return Fate.DONE

    def record(self, effect: fx.RecordDelivery) -> Fate:
        """Write down how an attempt ended; what was sent is a fact, whoever the owner is."""
        job = self.jobs[effect.job_id]
        if effect.epoch != self.epoch and effect.result != "sent":
            return Fate.FENCED
        if job.delivery == "pending":
            job.status = job.outcome or "completed"
            if effect.result == "retry":
                job.due_at = effect.retry_at
            else:
                job.delivery = effect.result
        return Fate.FENCED if effect.epoch != self.epoch else Fate.DONE

    def cancel_job(self, job_id: str) -> bool:
        """Cancel a job before its commit, or its delivery before the first attempt."""
        job = self.jobs[job_id]
        if job.committed_by is None and job.status in ("queued", "processing"):
            job.status, job.reason = "cancelled", "cancelled"
            for row in self.rows.values():
                if job_id in (row.message.job_id, row.message.turn_job_id):
                    row.is_processed = True
            self.attempts = 0
            return True
        if job.delivery == "pending" and job.attempts == 0 and job.status == "processing":
            job.status, job.delivery = "cancelled", "cancelled"
            return True
        return False

    def cancel_conversation(self) -> None:
        """Fence whoever works on it, and cancel the running turn."""
        self.epoch += 1
        self.owner, self.owner_until, self.attempts = None, 0.0, 0
        job_id, self.running_job_id = self.running_job_id, None
        if job_id is not None and self.jobs[job_id].committed_by is None:
            self.cancel_job(job_id)

    def renew(self, epoch: int, owner: str, kind: LeaseKind, until: float) -> bool:
        """Extend an ownership; False: it is not this owner's."""
        if epoch != self.epoch:
            return False
        self.owner, self.owner_until, self.kind = owner, until, kind
        return True

    def retry_turn(self, job_id: str, new_job_ids: list[str]) -> bool:
        """Make the messages of a failed turn pending again, under new jobs."""
        job = self.jobs[job_id]
        if job.committed_by is None or job.outcome != "failed" or job.is_retried:
            return False
        job.is_retried = True
        self.position += 1
        rows = sorted((self.rows[it] for it in job.message_ids), key=lambda row: row.message.seq)
        for row, own_id in zip(rows, new_job_ids, strict=False):
            self.last_seq += 1
            row.is_processed, row.position = False, None
            row.message = replace(
                row.message, job_id=own_id, turn_job_id=new_job_ids[0], seq=self.last_seq
            )
            self.jobs[own_id] = Job(own_id, message_ids=(row.message.message_id,))
            if own_id != new_job_ids[0]:
                self.jobs[own_id].status = "superseded"
                self.jobs[own_id].superseded_by = new_job_ids[0]
            del self.answered[row.message.message_id]
        self.jobs[new_job_ids[0]].message_ids = job.message_ids
        return True

    def retry_delivery(self, job_id: str) -> bool:
        """Put a delivery that was given up behind all others."""
        job = self.jobs[job_id]
        if job.delivery != "dead" or job.outcome == "failed":
            return False
        job.delivery, job.attempts, job.due_at = "pending", 0, 0.0
        job.is_sent_late = True
        self.commits.remove(job_id)
        self.commits.append(job_id)
        return True
