"""What must hold of conversations whatever happened to the product: checked in the database and
in what the AI service and the platform have seen.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from storage.postgres import Database, DatabaseUnavailable, Row
from tests.stack.stubs import AiCallRecord, Stubs

__all__ = ["History"]

FINAL = {"completed", "failed", "cancelled", "rejected", "superseded"}
POLL_SECONDS = 0.2

_MESSAGES = """
select conversation_id, message_id, job_id::text, turn_job_id::text, seq, "position", "timestamp",
    processed_at is not null as is_processed, sender_type, content
from messages where conversation_id = any($1::text[]) order by conversation_id, seq
"""
_JOBS = """
select id::text, conversation_id, status, reason, superseded_by::text, message_ids,
    committed_at is not null as is_committed, delivery_status, delivery_seq, delivery_attempts
from jobs where conversation_id = any($1::text[])
order by conversation_id, delivery_seq nulls last, committed_at
"""


@dataclass(frozen=True)
class History:
    """The conversations of one test.

    After a fault an AI call may be repeated and a delivery may come twice, under its same key;
    without one neither may: ``is_undisturbed``.
    """

    conversation_ids: list[str]
    stubs: Stubs
    messages: dict[str, list[Mapping[str, Any]]]
    jobs: dict[str, list[Mapping[str, Any]]]

    @classmethod
    async def read(
        cls, database_url: str, stubs: Stubs, conversation_ids: Iterable[str]
    ) -> History:
        """Read it as it is now."""
        ids = sorted(set(conversation_ids))
        database = await Database.connect(database_url, max_connections=1)
        try:
            return await cls._read(database, stubs, ids)
        finally:
            await database.close()

    @classmethod
    async def when_over(
        cls,
        database_url: str,
        stubs: Stubs,
        conversation_ids: Iterable[str],
        timeout_seconds: float = 30,
    ) -> History:
        """Read it once nothing waits any more; fail when that takes longer."""
        ids = sorted(set(conversation_ids))
        end = time.monotonic() + timeout_seconds
        database = await Database.connect(database_url, max_connections=1)
        try:
            while True:
                try:
                    history = await cls._read(database, stubs, ids)
                except DatabaseUnavailable:
                    history = cls(ids, stubs, {}, {})
                pending = history.pending() if history.messages else ["the database is away"]
                if not pending:
                    return history
                if time.monotonic() > end:
                    raise AssertionError(
                        f"after {timeout_seconds} s {len(pending)} are not done: {pending[:10]}"
                    )
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await database.close()

    @classmethod
    async def _read(cls, database: Database, stubs: Stubs, ids: list[str]) -> History:
        return cls(
            ids,
            stubs,
            _grouped(await database.fetch(_MESSAGES, ids)),
            _grouped(await database.fetch(_JOBS, ids)),
        )

    def pending(self) -> list[str]:
        """Name what is not finished yet."""
        return [
            f"message {row['message_id']} of {row['conversation_id']}"
            for rows in self.messages.values()
            for row in rows
            if not row["is_processed"]
        ] + [
            f"job {row['id']} of {row['conversation_id']} ({row['status']})"
            for rows in self.jobs.values()
            for row in rows
            if row["status"] not in FINAL or row["delivery_status"] == "pending"
        ]

    def check(self, accepted: Mapping[str, dict[str, Any]], *, is_undisturbed: bool) -> None:
        """Check all of it; ``accepted`` are the bodies that got a 200, by message id."""
        self._check_stored(accepted)
        for conversation_id in self.conversation_ids:
            try:
                self._check_conversation(conversation_id, is_undisturbed)
            except AssertionError as error:
                raise AssertionError(
                    f"{conversation_id}: {error}\n{self._told(conversation_id)}"
                ) from error

    def _check_stored(self, accepted: Mapping[str, dict[str, Any]]) -> None:
        stored = {
            (row["conversation_id"], row["message_id"]): row
            for rows in self.messages.values()
            for row in rows
            if row["message_id"] is not None
        }
        for message_id, body in accepted.items():
            row = stored.get((body["conversation_id"], message_id))
            assert row is not None, f"{message_id} was accepted and is not stored"
            assert row["content"] == body["message_content"]

    def _check_conversation(self, conversation_id: str, is_undisturbed: bool) -> None:
        messages = [
            it for it in self.messages.get(conversation_id, []) if it["sender_type"] == "user"
        ]
        jobs = {it["id"]: it for it in self.jobs.get(conversation_id, [])}
        turns = [it for it in jobs.values() if it["is_committed"]]
        _check_jobs(messages, jobs)
        _check_one_turn_each(messages, turns)
        _check_order(messages, turns)
        self._check_ai(conversation_id, turns, is_undisturbed)
        self._check_deliveries(conversation_id, turns, is_undisturbed)

    def _check_ai(
        self, conversation_id: str, turns: list[Mapping[str, Any]], is_undisturbed: bool
    ) -> None:
        calls = self.stubs.ai_calls(conversation_id)
        _check_one_call_at_a_time(calls)
        for turn in turns:
            led_here = [
                call
                for call in calls
                if call.body["job_id"] == turn["id"]
                and call.body["message_ids"] == list(turn["message_ids"])
                and call.ended_at is not None
            ]
            assert led_here, f"turn {turn['id']} was committed and the AI never answered it"
        if is_undisturbed:
            seen = Counter(it for call in calls for it in call.body["message_ids"])
            repeated = [message_id for message_id, count in seen.items() if count > 1]
            assert not repeated, f"the AI was asked twice about {repeated}"
        keys = Counter(call.idempotency_key for call in calls)
        if is_undisturbed:
            assert not [key for key, count in keys.items() if count > 1], f"keys {keys}"

    def _check_deliveries(
        self, conversation_id: str, turns: list[Mapping[str, Any]], is_undisturbed: bool
    ) -> None:
        delivered = self.stubs.delivered(conversation_id)
        expected = [it["id"] for it in turns if it["delivery_status"] == "sent"]
        first = list(dict.fromkeys(it.idempotency_key for it in delivered))
        assert first == expected, f"delivered {first}, committed {expected}"
        bodies = defaultdict(set)
        keys_of = defaultdict(set)
        for record in delivered:
            bodies[record.idempotency_key].add(record.raw)
            for message_id in record.body["message_ids"]:
                keys_of[message_id].add(record.idempotency_key)
        assert all(len(it) == 1 for it in bodies.values()), "one key, two bodies"
        assert all(len(it) == 1 for it in keys_of.values()), "one message, two keys"
        if is_undisturbed:
            assert len(delivered) == len(first), "delivered twice"

    def _told(self, conversation_id: str) -> str:
        """Tell the conversation, for the reader of a failure."""
        start = min((it.started_at for it in self.stubs.ai_calls(conversation_id)), default=0.0)
        lines = [f"  message {dict(it)}" for it in self.messages.get(conversation_id, [])]
        lines += [f"  job {dict(it)}" for it in self.jobs.get(conversation_id, [])]
        lines += [
            f"  call {it.idempotency_key} {it.body['message_ids']} at {it.started_at - start:.3f}"
            f" ended {_since(start, it.ended_at)} cut off {_since(start, it.cut_off_at)}"
            for it in self.stubs.ai_calls(conversation_id)
        ]
        lines += [
            f"  delivery {it.idempotency_key} {it.status} at {it.received_at - start:.3f}"
            for it in self.stubs.deliveries(conversation_id)
        ]
        return "\n".join(lines)


def _since(start: float, moment: float | None) -> str:
    return "never" if moment is None else f"{moment - start:.3f}"


def _grouped(rows: Iterable[Row]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["conversation_id"], []).append(dict(row))
    return groups


def _check_jobs(messages: list[Mapping[str, Any]], jobs: Mapping[str, Mapping[str, Any]]) -> None:
    """Every message's job is final, and leads to the turn that answered it."""
    for message in messages:
        job = jobs[message["job_id"]]
        seen = set()
        while job["status"] == "superseded":
            assert job["id"] not in seen, "jobs that supersede each other"
            seen.add(job["id"])
            assert job["superseded_by"] in jobs, f"{job['id']} leads nowhere"
            job = jobs[job["superseded_by"]]
        assert job["status"] in FINAL, f"job {job['id']} is {job['status']}"
        if message["turn_job_id"] is not None:
            assert job["id"] == message["turn_job_id"], f"job of {message['message_id']}"


def _check_one_turn_each(messages: list[Mapping[str, Any]], turns: list[Mapping[str, Any]]) -> None:
    counts = Counter(message_id for turn in turns for message_id in turn["message_ids"])
    for message in messages:
        assert message["is_processed"], f"{message['message_id']} waits"
        count = counts[message["message_id"]]
        assert count == 1, f"{message['message_id']} is in {count} turns"


def _check_order(messages: list[Mapping[str, Any]], turns: list[Mapping[str, Any]]) -> None:
    """What was accepted earlier is answered earlier, or in the same turn."""
    by_id = {message["message_id"]: message for message in messages}
    latest = -1
    position = 0
    for turn in turns:
        own = [by_id[message_id] for message_id in turn["message_ids"]]
        assert own == sorted(own, key=lambda it: (it["timestamp"], it["seq"])), "order in a turn"
        assert min(it["seq"] for it in own) > latest, f"turn {turn['id']} overtook an earlier one"
        latest = max(it["seq"] for it in own)
        positions = [it["position"] for it in own]
        assert None not in positions, "answered and not in the context"
        assert positions == list(range(positions[0], positions[0] + len(own))), "gaps in a turn"
        assert positions[0] > position, "two turns at one place of the context"
        position = positions[-1]


def _check_one_call_at_a_time(calls: list[AiCallRecord]) -> None:
    before: AiCallRecord | None = None
    for call in sorted(calls, key=lambda it: it.started_at):
        if before is not None:
            ended_at = before.ended_at if before.ended_at is not None else before.cut_off_at
            assert ended_at is not None, "an AI call began while one was running"
            assert ended_at <= call.started_at, "two AI calls at the same time"
        before = call
