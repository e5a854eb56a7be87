"""The simulated tables answer as PostgreSQL does; else ``make simulate`` would prove nothing."""

from __future__ import annotations

import time
from random import Random
from typing import Any, cast

import pytest

from storage import admin
from storage.claim_records import Claim
from storage.codec import Operation, OperationKind
from storage.delivery_records import DeliveryResult
from storage.postgres import Database
from storage.reads import pending_pokes
from storage.records import Accepted, AcceptOutcome, FencedOutcome, JobStatus, LeaseKind
from storage.turn_records import NewAction
from tests.simulation.checker import Checker
from tests.simulation.claiming import due_deliveries, waiting_messages
from tests.simulation.database import DatabaseServer
from tests.simulation.rows import ConversationRow, JobRow
from tests.simulation.tables import Tables
from tests.storage.client import (
    Client,
    claim,
    commit,
    delivered,
    delivery_start,
    message,
    new_id,
    renewal,
    settlement,
    turn,
)

CONVERSATIONS = 40
OPERATIONS = 40
OWNERS = ("host-1", "host-2")
LONG, OVER = 60.0, 0.0
KINDS: dict[str, OperationKind] = {
    "NewMessage": OperationKind.ACCEPT,
    "ClaimRequest": OperationKind.CLAIM,
    "TurnStart": OperationKind.START_TURN,
    "TurnCommit": OperationKind.COMMIT_TURN,
    "MessageSettlement": OperationKind.SETTLE,
    "DeliveryStart": OperationKind.START_DELIVERY,
    "DeliveryRecord": OperationKind.RECORD_DELIVERY,
    "OwnerRenewal": OperationKind.RENEW,
}


class Chance:
    """Draws operations that often, but not always, make sense for a conversation as it is."""

    def __init__(self, random: Random, key: str, tables: Tables) -> None:
        self.random = random
        self.key = key
        self.tables = tables
        self.done: list[Operation] = []

    @property
    def row(self) -> ConversationRow:
        return self.tables.conversations.setdefault(self.key, ConversationRow(self.key))

    def operation(self) -> Operation:
        random = self.random
        if not self.row.messages:
            return message(self.key, "m1")
        if self.done and random.random() < 0.15:
            return random.choice(self.done)  # again, as after an answer that was lost
        draws = {
            self.accept: 2,
            self.claim: 2,
            self.start: 2,
            self.commit: 3,
            self.settle: 1,
            self.count: 1,
            self.record: 2,
            self.renew: 1,
        }
        (draw,) = random.choices(list(draws), list(draws.values()))
        return draw()

    def epoch(self) -> int:
        return max(0, self.row.epoch - self.random.choice((0, 0, 0, 0, 0, 1)))

    def job(self) -> JobRow:
        """Choose a job, most often of a message that waits or of an answer on its way."""
        waiting = [self.row.jobs[it.job_id] for it in self.row.pending()]
        liked = waiting[:1] + [it for it in waiting if it.status is JobStatus.PROCESSING]
        return self.random.choice((liked or []) * 3 + list(self.row.jobs.values()))

    def message_ids(self) -> list[str]:
        pending = [it.message_id for it in self.row.pending()]
        known = pending if pending and self.random.random() < 0.9 else list(self.row.messages)
        return known[: self.random.randint(1, 3)]

    def accept(self) -> Operation:
        return message(self.key, f"m{self.random.randint(1, 6)}")

    def claim(self) -> Operation:
        owner = self.random.choice(OWNERS)
        return claim(
            self.key,
            self.epoch(),
            owner,
            lock_id=new_id(),
            lease_kind=self.random.choice(list(LeaseKind)),
            owner_ttl_seconds=self.random.choice((LONG, OVER, OVER)),
            message_limit=self.random.choice((2, 50)),
            cached_position=self.random.choice((None, self.row.last_position)),
            take_over_from=self.random.choice((None, *OWNERS)),
        )

    def start(self) -> Operation:
        ids = self.message_ids()
        own = [self.row.messages[it].job_id for it in ids]
        return turn(
            self.key,
            self.random.choice((own[0], self.job().job_id)),
            *ids,
            epoch=self.epoch(),
            superseded=own[1:],
            attempts=self.random.choice((0, 0, 0, 4)),
        )

    def commit(self) -> Operation:
        ids = self.message_ids()
        status = self.random.choice(
            (JobStatus.COMPLETED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
        )
        position = self.row.last_position
        return commit(
            self.key,
            self.random.choice((self.row.messages[ids[0]].job_id, self.job().job_id)),
            *ids,
            epoch=self.epoch(),
            status=status,
            reason=None if status is JobStatus.COMPLETED else "ai_error",
            first_position=position + 1,
            reply=self.random.choice((None, "reply")),
            conversation_status=self.random.choice(("active", "with_agent", "ended")),
            context_start=self.random.choice((None, None, position + len(ids))),
            owner=self.random.choice(OWNERS),
            lease_kind=self.random.choice(list(LeaseKind)),
            owner_ttl_seconds=self.random.choice((LONG, OVER)),
            delivery_body=self.random.choice((None, '{"the": "body"}')),
            delivering=self.random.random() < 0.5,
            actions=[NewAction(action_type="send_message", data="{}", status="pending")],
        )

    def settle(self) -> Operation:
        name = self.random.choice(self.message_ids())
        job_id = self.random.choice((self.row.messages[name].job_id, self.job().job_id))
        position = self.row.last_position + 1
        status, reason, place = self.random.choice(
            (
                (JobStatus.COMPLETED, "not_from_user", position),
                (JobStatus.COMPLETED, "with_agent", position),
                (JobStatus.REJECTED, None, None),
                (JobStatus.REJECTED, None, None),
            )
        )
        return settlement(
            self.key,
            name,
            job_id,
            epoch=self.epoch(),
            status=status,
            reason=reason,
            position=place,
        )

    def undelivered(self) -> str:
        waiting = [it.job_id for it in self.row.undelivered()] or [self.job().job_id]
        return self.random.choice(waiting)

    def count(self) -> Operation:
        return delivery_start(self.key, self.undelivered(), self.epoch())

    def record(self) -> Operation:
        return delivered(
            self.key,
            self.undelivered(),
            self.random.choice(list(DeliveryResult)),
            self.epoch(),
            retry_in_seconds=self.random.choice((LONG, OVER)),
        )

    def renew(self) -> Operation:
        return renewal(
            self.key,
            self.epoch(),
            owner=self.random.choice(OWNERS),
            lease_kind=self.random.choice(list(LeaseKind)),
            owner_ttl_seconds=self.random.choice((LONG, OVER)),
        )


def essence(result: object) -> object:
    """What of a result has to be the same: all but times and the numbers of rows."""
    if isinstance(result, Accepted):
        if result.outcome is AcceptOutcome.REFUSED:
            return result.outcome
        names = set(Accepted.__struct_fields__) - {"seq", "accepted_at", "error"}
        fields = {name: getattr(result, name) for name in names}
        return fields | {"previous_seq": result.previous_seq > 0}
    if not isinstance(result, Claim):
        return result
    names = set(Claim.__struct_fields__)
    if result.outcome.value != "claimed":
        names = {"outcome", "epoch", "owner", "cluster"}
    names -= {"retry_in_seconds", "last_activity_at", "messages", "outbox", "last_seq"}
    return {
        **{name: getattr(result, name) for name in names},
        "messages": [(it.message_id, it.job_id, it.turn_job_id) for it in result.messages],
        "outbox": [
            (it.job_id, it.attempts, it.body, it.message_ids, round(it.retry_in_seconds, -1))
            for it in result.outbox
        ],
    }


def simulated(tables: Tables, operation: Operation) -> object:
    if tables.refuses(operation):
        return AcceptOutcome.REFUSED
    kind = KINDS[type(operation).__name__]
    return essence(tables.apply(kind, [operation])[0])


@pytest.mark.timeout(180)
async def test_the_simulated_tables_answer_as_postgresql_does(
    client: Client, database: Database
) -> None:
    now = time.time
    tables = Tables(now, Checker(now), lambda line: None)
    server = DatabaseServer(cast("Any", None), tables)
    seen: set[tuple[type, object]] = set()
    for number in range(CONVERSATIONS):
        chance = Chance(Random(f"tables {number}"), f"c{number}", tables)
        for _ in range(OPERATIONS):
            operation = chance.operation()
            expected = simulated(tables, operation)
            (result,) = await client.execute(operation)
            assert essence(result) == expected, (number, operation)
            chance.done.append(operation)
            seen.add((type(operation), getattr(result, "outcome", result)))
            if chance.random.random() < 0.05:
                await compare_people(database, server, chance)
    await compare_sweeps(database, tables)
    assert {FencedOutcome.DONE, FencedOutcome.FENCED, FencedOutcome.STALE} <= {
        outcome for _, outcome in seen
    }
    assert len(seen) >= 20


async def compare_people(database: Database, server: DatabaseServer, chance: Chance) -> None:
    """Cancel a job or the conversation, in both."""
    if chance.random.random() < 0.7:
        job_id = chance.job().job_id
        expected = server._cancel_job(job_id)
        assert await admin.cancel_job(database, job_id) == expected
        return
    reset, found = server._reset(chance.key), await admin.cancel_conversation(database, chance.key)
    assert reset is not None
    assert found is not None
    names = ("epoch", "cancelled_job_id", "owner", "cluster")
    assert [getattr(found, it) for it in names] == [getattr(reset, it) for it in names]


async def compare_sweeps(database: Database, tables: Tables) -> None:
    """See whether the sweeper would find the same."""
    found = await pending_pokes(database, 0.0, 1000, ["host-2"])
    expected = waiting_messages(tables, 0.0, 1000, 1000, ["host-2"])
    expected += due_deliveries(tables, 0.0, 1000, ["host-2"])
    assert {(it.conversation_id, it.message_id, it.job_id, it.owner) for it in found} == {
        (it["conversation_id"], it.get("message_id"), it["job_id"], it["owner"]) for it in expected
    }
