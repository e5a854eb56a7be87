"""Stand-ins for what lies below the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from actors.outcome import Outcome, OutcomeKind
from storage.admin import CancelledConversation, CancelledJob, ErasedRows
from storage.bots import DEFAULT_BOT, Bot
from storage.dead_letters import DeadLetterPage, RetriedLetter
from storage.effective_bot import EffectiveBot
from storage.metric_types import Figures, figures_of
from storage.metrics import INGRESS, MESSAGES_IN_FLIGHT
from storage.postgres import DatabaseUnavailable
from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage
from storage.redis_lease import LeaseHolder
from storage.views import (
    ConversationDetail,
    ConversationPage,
    ConversationStatistics,
    ConversationView,
    JobView,
    PostgresStatistics,
    StuckConversation,
)


class FakeExpectation:
    is_over = False

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def wait(self, kinds: frozenset[OutcomeKind], timeout_seconds: float) -> Outcome | None:
        self._gateway.waits.append(timeout_seconds)
        for outcome in list(self._gateway.outcomes):
            if outcome.kind in kinds:
                self._gateway.outcomes.remove(outcome)
                return outcome
        await asyncio.sleep(0 if self._gateway.has_instant_silence else timeout_seconds)
        return None


class FakeGateway:
    """Accepts everything; ``outcomes`` are what hosts say."""

    def __init__(self, jobs: dict[str, JobView] | None = None) -> None:
        self.jobs = {} if jobs is None else jobs
        self.accepted: list[NewMessage] = []
        self.routed: list[tuple[NewMessage, Accepted]] = []
        self.calls: list[tuple[str, ...]] = []
        self.outcomes: list[Outcome] = []
        self.waits: list[float] = []
        self.accept_error: Exception | None = None
        self.answer: dict[str, Any] = {}
        self.has_instant_silence = False
        self.is_serving = True
        self.redis_everywhere = True
        self.deliveries: list[dict[str, object]] = []
        self.actor_figures: dict[str, Figures] = {}

    async def accept(self, message: NewMessage) -> Accepted:
        if self.accept_error is not None:
            raise self.accept_error
        self.accepted.append(message)
        fields: dict[str, Any] = {
            "outcome": AcceptOutcome.ACCEPTED,
            "message_id": message.message_id or f"digest:{message.digest}",
            "job_id": message.job_id,
            "job_status": JobStatus.QUEUED,
            "epoch": 1,
            "seq": 1,
            "accepted_at": 0.0,
            "content": message.content,
        }
        accepted = Accepted(**{**fields, **self.answer})
        self.jobs.setdefault(accepted.job_id, job(accepted.job_id, JobStatus.QUEUED))
        return accepted

    @asynccontextmanager
    async def expect(
        self, conversation_id: str, message_id: str, *, hears_start: bool = False
    ) -> AsyncIterator[FakeExpectation]:
        self.calls.append(("expect", conversation_id, message_id))
        yield FakeExpectation(self)
        self.calls.append(("forget", conversation_id, message_id))

    def route(self, message: NewMessage, accepted: Accepted) -> None:
        self.calls.append(("route", message.conversation_id, accepted.message_id))
        self.routed.append((message, accepted))

    def notify_cancelled(self, conversation_id: str, job_id: str) -> None:
        self.calls.append(("cancelled", conversation_id, job_id))

    def notify_reset(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        self.calls.append(("reset", conversation_id))

    def notify_reopened(self, conversation_id: str) -> None:
        self.calls.append(("reopened", conversation_id))

    def notify_erased(self, conversation_id: str, holder: LeaseHolder | None = None) -> None:
        told = () if holder is None else (f"{holder.cluster}/{holder.owner}",)
        self.calls.append(("erased", conversation_id, *told))

    def on_word_of_job(self, hear: Callable[[str], None]) -> None:
        self.hear_of_job = hear

    def describe_actors(self) -> list[dict[str, object]]:
        return [{"kind": "ConversationHost", "turns": 3}, {"kind": "StorageWriter"}]

    def figures_of_all(self) -> dict[str, Figures]:
        MESSAGES_IN_FLIGHT.set(7)
        return {"ingress-test": figures_of(INGRESS), **self.actor_figures}

    async def simulated_deliveries(self) -> list[dict[str, object]]:
        return self.deliveries

    def will_say(self, kind: OutcomeKind, **fields: Any) -> None:
        base: dict[str, Any] = {"conversation_id": "c", "message_id": "m", "kind": kind}
        self.outcomes.append(Outcome(**{**base, **fields}))


class FakeStore:
    """Holds what tests put in; ``is_away`` makes everything fail as a lost database does."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobView] = {}
        self.cancelled_jobs: dict[str, CancelledJob] = {}
        self.page = ConversationPage(0, [], None)
        self.page_error: Exception | None = None
        self.details: dict[str, ConversationDetail] = {}
        self.cancellations: dict[str, CancelledConversation] = {}
        self.stuck: list[StuckConversation] = []
        self.letters = DeadLetterPage(0, [], None)
        self.retried: list[RetriedLetter] = []
        self.bot_map: dict[str, Bot] = {"default": DEFAULT_BOT}
        self.put_error: Exception | None = None
        self.searched = ("", False)
        self.calls: list[tuple[Any, ...]] = []
        self.is_away = False

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if self.is_away:
            raise DatabaseUnavailable("gone")

    async def ping(self) -> None:
        self._note("ping")

    async def dead_letters(
        self, limit: int, cursor: str | None, kind: str | None
    ) -> DeadLetterPage:
        self._note("dead_letters", limit, cursor, kind)
        if self.page_error is not None:
            raise self.page_error
        return self.letters

    async def retry_dead_letter(self, letter_id: str) -> RetriedLetter | None:
        self._note("retry_dead_letter", letter_id)
        return next((it for it in self.retried if it.id == letter_id), None)

    async def retry_all_dead_letters(self, kind: str | None) -> AsyncIterator[list[RetriedLetter]]:
        self._note("retry_all_dead_letters", kind)
        for letter in self.retried:
            yield [letter]

    async def job(self, job_id: str) -> JobView | None:
        self._note("job", job_id)
        return self.jobs.get(job_id)

    async def job_statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        self._note("job_statuses", *job_ids)
        return {it: self.jobs[it].status for it in job_ids if it in self.jobs}

    async def find_jobs(self, job_ids: Sequence[str]) -> list[JobView]:
        return [self.jobs[it] for it in job_ids if it in self.jobs]

    async def cancel_job(self, job_id: str) -> CancelledJob | None:
        self._note("cancel_job", job_id)
        return self.cancelled_jobs.get(job_id)

    async def conversations(
        self,
        limit: int,
        cursor: str | None,
        status: str | None,
        *,
        search: str = "",
        waiting: bool = False,
    ) -> ConversationPage:
        self._note("conversations", limit, cursor, status)
        self.searched = (search, waiting)
        if self.page_error is not None:
            raise self.page_error
        return self.page

    async def conversation(self, conversation_id: str) -> ConversationDetail | None:
        self._note("conversation", conversation_id)
        return self.details.get(conversation_id)

    async def cancel_conversation(self, conversation_id: str) -> CancelledConversation | None:
        self._note("cancel", conversation_id)
        return self.cancellations.get(conversation_id)

    async def resume_conversation(self, conversation_id: str) -> CancelledConversation | None:
        self._note("resume", conversation_id)
        return self.cancellations.get(conversation_id)

    async def erase_conversation(
        self, conversation_id: str
    ) -> tuple[CancelledConversation, ErasedRows] | None:
        self._note("erase", conversation_id)
        cancelled = self.cancellations.pop(conversation_id, None)
        return None if cancelled is None else (cancelled, ErasedRows(1, 4, 3, 2))

    async def conversation_statistics(self) -> ConversationStatistics:
        self._note("statistics")
        return ConversationStatistics(total=42, recent=15, old=5, active_processing=3)

    async def postgres_statistics(self) -> PostgresStatistics | None:
        self._note("postgres_statistics")
        return PostgresStatistics(1, 2, 3, 4, 5, 6, "15.1", 1, 1, 5)

    async def stuck_conversations(self) -> list[StuckConversation]:
        self._note("stuck")
        return self.stuck

    async def unknown_conversations(self, conversation_ids: list[str]) -> list[str]:
        return [it for it in conversation_ids if it.startswith("unknown")]

    async def cleanup(
        self,
        max_age_hours: float,
        *,
        dry_run: bool,
        on_erased: Callable[[list[str]], Awaitable[None]],
    ) -> ErasedRows:
        self._note("cleanup", max_age_hours, dry_run)
        if not dry_run:
            await on_erased(["a", "b"])
        return ErasedRows(conversations=2, messages=5, jobs=4, actions=3)

    async def bots(self) -> list[Bot]:
        self._note("bots")
        return list(self.bot_map.values())

    async def bot(self, bot_id: str) -> Bot | None:
        self._note("bot", bot_id)
        return self.bot_map.get(bot_id)

    async def put_bot(self, bot: Bot) -> None:
        self._note("put_bot", bot.bot_id)
        if self.put_error is not None:
            raise self.put_error
        self.bot_map[bot.bot_id] = bot

    async def delete_bot(self, bot_id: str) -> bool:
        self._note("delete_bot", bot_id)
        return self.bot_map.pop(bot_id, None) is not None


class FakeRedis:
    def __init__(self) -> None:
        self.is_connected = True
        self.leases: dict[str, LeaseHolder] = {}
        self.states = 1
        self.calls: list[tuple[Any, ...]] = []

    async def ping(self) -> bool:
        return self.is_connected

    async def holder(self, conversation_id: str) -> LeaseHolder | None:
        return self.leases.get(conversation_id)

    async def release(self, conversation_id: str) -> bool:
        self.calls.append(("release", conversation_id))
        return self.leases.pop(conversation_id, None) is not None

    async def leased(self) -> AsyncIterator[list[str]]:
        yield list(self.leases)

    async def release_many(self, conversation_ids: Sequence[str]) -> int:
        return sum([await self.release(it) for it in conversation_ids])

    async def forget(self, conversation_ids: Sequence[str]) -> int:
        return self.states * len(conversation_ids)

    async def statistics(self) -> dict[str, object] | None:
        return {"connected_clients": 12} if self.is_connected else None


class FakeBots:
    def __init__(self, bot: EffectiveBot) -> None:
        self._bot = bot
        self.asked: list[str] = []

    def get(self, bot_id: str) -> EffectiveBot:
        self.asked.append(bot_id)
        return self._bot


def job(job_id: str, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> JobView:
    base: dict[str, Any] = {
        "job_id": job_id,
        "conversation_id": "c",
        "bot_id": "default",
        "status": status,
        "reason": None,
        "superseded_by": None,
        "message_ids": ["m"],
        "consolidated_messages": 1,
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": 3.0,
        "lock_id": "lock",
        "result": None,
        "delivery_status": None,
        "delivery_attempts": 0,
        "delivery_error": None,
        "next_delivery_at": None,
    }
    return JobView(**{**base, **fields})


def conversation(conversation_id: str = "c", **fields: Any) -> ConversationView:
    base: dict[str, Any] = {
        "conversation_id": conversation_id,
        "bot_id": "default",
        "status": "active",
        "epoch": 7,
        "owner": "host-0#1",
        "cluster": "default",
        "lease_kind": "redis",
        "owner_seconds_left": 12.5,
        "running_job_id": None,
        "ai_processing": False,
        "context_size": 15,
        "total_messages": 20,
        "last_message_id": "msg_67890",
        "last_message_timestamp": 1699123456.789,
        "last_accepted_at": 1.0,
        "last_settled_at": None,
        "created_at": 0.5,
        "waiting_messages": 0,
        "pending_messages": 0,
    }
    return ConversationView(**{**base, **fields})
