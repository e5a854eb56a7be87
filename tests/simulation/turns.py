"""The rules of turns: each message in one, in order, one at a time, by the owner of the epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from actors.conversation.effects import StartTurn
from storage.claim_records import ClaimRequest
from storage.records import JobStatus, LeaseKind
from storage.turn_records import MessageSettlement, TurnCommit
from tests.simulation.leases import Leases
from tests.simulation.process import Process

__all__ = ["Commit", "Turns"]


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed turn."""

    job_id: str
    epoch: int
    message_ids: tuple[str, ...]
    first_seq: int
    started_at: float
    committed_at: float
    owner: str
    status: JobStatus
    body: str | None


@dataclass(slots=True, eq=False)
class _Book:
    """What is known of one conversation."""

    epoch: int = 0
    lock_id: str = ""
    kind: LeaseKind = LeaseKind.DATABASE
    """What guards the owner of this epoch."""
    seqs: dict[str, int] = field(default_factory=dict)
    """The order in which its messages were accepted (for the last time)."""
    decided: dict[str, str] = field(default_factory=dict)
    """How each message ended."""
    starts: dict[tuple[str, int], float] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    heard: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each owner first knew of each message."""


class Turns:
    """The books of all conversations."""

    def __init__(
        self, now: Callable[[], float], report: Callable[[str, object], None], leases: Leases
    ) -> None:
        self._now = now
        self._report = report
        self._leases = leases
        self._books: defaultdict[str, _Book] = defaultdict(_Book)
        self.by_job: dict[str, Commit] = {}
        self.ai_calls: set[str] = set()

    def commits_of(self, conversation_id: str) -> list[Commit]:
        """Return what was committed, in order."""
        return self._books[conversation_id].commits

    def accepted(self, conversation_id: str, message_id: str, seq: int) -> None:
        """A message was stored, or stored again after it had been rejected."""
        book = self._books[conversation_id]
        before = book.decided.pop(message_id, None)
        if message_id in book.seqs and before != JobStatus.REJECTED:
            self._report("one message, one job", f"{message_id} was accepted twice")
        book.seqs[message_id] = seq
        for key in [it for it in book.heard if it[1] == message_id]:
            del book.heard[key]

    def heard(self, owner: str, conversation_id: str, message_ids: Iterable[str]) -> None:
        """A host was told of messages."""
        book, now = self._books[conversation_id], self._now()
        for message_id in message_ids:
            book.heard.setdefault((owner, message_id), now)

    def claimed(self, request: ClaimRequest, pending: list[str]) -> None:
        """An owner raised the epoch (or did so before, and asked again)."""
        book, epoch = self._books[request.conversation_id], request.epoch + 1
        is_repeated = epoch == book.epoch and request.lock_id == book.lock_id
        if epoch <= book.epoch and not is_repeated:
            self._report("epochs rise", f"{request.owner} claimed {epoch} after {book.epoch}")
        book.epoch, book.lock_id = max(epoch, book.epoch), request.lock_id
        book.kind = request.lease_kind
        if not self._leases.is_held_in_redis(request.conversation_id, request.owner):
            # Held up on its way until the lease was given back: it fences the rightful owner, who
            # loses an AI call by it and nothing else.
            book.kind = LeaseKind.DATABASE
        if not is_repeated:  # else it may be an answer that nobody hears
            self.heard(request.owner, request.conversation_id, pending)

    def reset(self, conversation_id: str) -> None:
        """An operator raised the epoch."""
        book = self._books[conversation_id]
        book.epoch, book.lock_id, book.kind = book.epoch + 1, "", LeaseKind.DATABASE

    def started(self, owner: str, conversation_id: str, start: StartTurn) -> None:
        """A host started a turn (or started it again, with more messages).

        While nobody breaks the promises of Redis, nobody else can have been its owner since.
        """
        book = self._books[conversation_id]
        book.starts[start.job_id, start.epoch] = self._now()
        is_former = start.epoch < book.epoch and book.kind is LeaseKind.REDIS
        if is_former and not self._leases.was_broken(conversation_id, owner):
            self._report("one owner at a time", f"{owner} started {start.job_id}")

    def asked(self, process: Process | None, conversation_id: str, key: str) -> None:
        """An AI was asked."""
        del process, conversation_id
        if key in self.ai_calls:
            return  # a model call may be repeated
        self.ai_calls.add(key)

    def committed(self, commit: TurnCommit) -> None:
        """A turn was committed."""
        book, now = self._books[commit.conversation_id], self._now()
        if commit.epoch != book.epoch:
            self._report(
                "no commit of a stale epoch", f"{commit.job_id} by {commit.epoch}, not {book.epoch}"
            )
        if commit.job_id in self.by_job:
            self._report("one job, one commit", commit.job_id)
        for message_id in commit.message_ids:
            self._decide(book, message_id, commit.job_id)
        turn = Commit(
            job_id=commit.job_id,
            epoch=commit.epoch,
            message_ids=tuple(commit.message_ids),
            first_seq=min(book.seqs.get(it, 0) for it in commit.message_ids),
            started_at=book.starts.get((commit.job_id, commit.epoch), now),
            committed_at=now,
            owner=commit.owner,
            status=commit.status,
            body=commit.delivery_body,
        )
        self._check_neighbours(book, turn)
        book.commits.append(turn)
        self.by_job[turn.job_id] = turn

    def _check_neighbours(self, book: _Book, turn: Commit) -> None:
        for earlier in book.commits:
            if turn.started_at < earlier.committed_at:
                self._report("turns never overlap", f"{earlier.job_id} and {turn.job_id}")
            if turn.epoch < earlier.epoch:
                self._report("epochs never decrease", f"{turn.epoch} after {earlier.epoch}")
            for message_id in turn.message_ids:
                known_at = book.heard.get((earlier.owner, message_id))
                is_older = book.seqs.get(message_id, 0) < earlier.first_seq
                if is_older and known_at is not None and known_at < earlier.started_at:
                    self._report(
                        "order of acceptance", f"{message_id} was overtaken by {earlier.job_id}"
                    )

    def settled(self, settlement: MessageSettlement) -> None:
        """A message ended without a turn."""
        book = self._books[settlement.conversation_id]
        if settlement.epoch != book.epoch:
            self._report("no commit of a stale epoch", f"{settlement.message_id} was settled")
        self._decide(book, settlement.message_id, settlement.status)

    def dropped(self, conversation_id: str, message_id: str) -> None:
        """A message ended because its job was cancelled."""
        self._decide(self._books[conversation_id], message_id, JobStatus.CANCELLED)

    def _decide(self, book: _Book, message_id: str, how: str) -> None:
        before = book.decided.get(message_id)
        if before is not None:
            self._report("one message, one end", f"{message_id}: {before}, then {how}")
        book.decided[message_id] = how
