"""What happens is counted where it happens."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.acceptance import Acceptance
from actors.admission import Admission
from actors.conversation.effects import CommitTurn
from actors.conversation.events import Event, Fate, LeaseLost
from actors.gateway import Gateway
from actors.lease_keeper import LeaseKeeper
from actors.ports import Directory, Overloaded, StorageUnavailable
from actors.resources import Resources
from actors.seat import MAX_JOBS, Seat
from actors.turn_work import _note_end
from actors.writer_link import WriterLink
from storage.metric_types import Counter
from storage.metrics import (
    ACCEPTED_MESSAGES,
    DEAD_LETTERS,
    DUPLICATE_MESSAGES,
    FENCED_COMMITS,
    LEASES_LOST,
    MESSAGES_IN_FLIGHT,
    REFUSED_MESSAGES,
    TURNS,
)
from storage.records import Accepted, AcceptOutcome, JobStatus, NewMessage
from storage.redis_lease import HeldLease, LeaseAnswer, LeaseOutcome, LeaseRequest, RenewalOutcome
from storage.settings import Settings
from tests.unit.conversation.script import Script


class Rise:
    """How much a counter has risen since this was made."""

    def __init__(self, counter: Counter, value: str = "") -> None:
        self._counter, self._value = counter, value
        self._before = counter.count(value)

    def __int__(self) -> int:
        return self._counter.count(self._value) - self._before


def accepted(outcome: AcceptOutcome) -> Accepted:
    return Accepted(
        outcome=outcome,
        message_id="m",
        job_id="j",
        job_status=JobStatus.QUEUED,
        epoch=0,
        seq=1,
        accepted_at=0.0,
        content="",
    )


@pytest.mark.parametrize(
    ("stored", "counter", "reason"),
    [
        (AcceptOutcome.ACCEPTED, ACCEPTED_MESSAGES, ""),
        (AcceptOutcome.REVIVED, ACCEPTED_MESSAGES, ""),
        (AcceptOutcome.DUPLICATE, DUPLICATE_MESSAGES, ""),
        (AcceptOutcome.REFUSED, REFUSED_MESSAGES, "not_storable"),
        (Overloaded("full"), REFUSED_MESSAGES, "overloaded"),
        (StorageUnavailable("away"), REFUSED_MESSAGES, "storage_unavailable"),
    ],
)
async def test_a_message_is_counted_by_what_became_of_it(
    stored: AcceptOutcome | Exception,
    counter: Counter,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acceptance = Acceptance(cast("WriterLink", None), cast("Admission", None))

    async def store(message: NewMessage) -> Accepted:
        if isinstance(stored, Exception):
            raise stored
        return accepted(stored)

    monkeypatch.setattr(acceptance, "_store", store)
    rise, others = Rise(counter, reason), [Rise(ACCEPTED_MESSAGES), Rise(DUPLICATE_MESSAGES)]
    message = cast("NewMessage", None)
    if isinstance(stored, Exception):
        with pytest.raises(type(stored)):
            await acceptance.accept(message)
    else:
        await acceptance.accept(message)
    assert int(rise) == 1
    assert sum(map(int, others)) == (counter is not REFUSED_MESSAGES)


async def test_nothing_is_in_flight_in_a_new_gateway() -> None:
    gateway = Gateway(cast("Directory", None), Settings(_env_file=None))
    assert gateway.figures()[MESSAGES_IN_FLIGHT.name] == {"": [0]}


@pytest.mark.parametrize(
    ("status", "fate", "turns", "fenced", "dead"),
    [
        ("completed", Fate.DONE, 1, 0, 0),
        ("failed", Fate.DONE, 1, 0, 1),
        ("failed", Fate.FENCED, 0, 1, 0),
        ("completed", Fate.CANCELLED, 0, 0, 0),
    ],
)
def test_a_turn_is_counted_by_how_it_ended(
    status: str, fate: Fate, turns: int, fenced: int, dead: int
) -> None:
    rises = Rise(TURNS, status), Rise(FENCED_COMMITS), Rise(DEAD_LETTERS, "message")
    _note_end(cast("CommitTurn", SimpleNamespace(status=status)), fate)
    assert tuple(map(int, rises)) == (turns, fenced, dead)


async def test_a_lease_that_somebody_else_has_is_counted_as_lost() -> None:
    async def renew(leases: list[HeldLease]) -> list[RenewalOutcome]:
        return [RenewalOutcome.LOST] * len(leases)

    async def acquire(requests: list[LeaseRequest]) -> list[LeaseAnswer]:
        refused = LeaseAnswer(LeaseOutcome.REFUSED, time.monotonic(), "other#1", "default", 1.0)
        return [refused] * len(requests)

    script = Script()
    script.own(trusted_until=time.monotonic() + 60)
    told: list[Event] = []
    locks = SimpleNamespace(renew=renew, acquire=acquire)
    resources = SimpleNamespace(
        redis=SimpleNamespace(locks=locks, is_connected=True),
        lease_ttl_seconds=0.5,
        trusted_until=lambda sent_at: sent_at + 0.4,
    )
    keeper = LeaseKeeper(
        cast("Resources", cast("Any", resources)),
        lambda: [Seat(script.conversation)],
        lambda _, event: told.append(event),
    )
    rise = Rise(LEASES_LOST, "redis")
    await keeper.renew()
    assert int(rise) == 1
    assert [type(event) for event in told] == [LeaseLost]


def test_time_elsewhere_adds_up_by_job_and_is_remembered_for_a_few() -> None:
    seat = Seat(Script().conversation)
    seat.spend_elsewhere("job", 1.0)
    seat.spend_elsewhere("job", 0.5)
    assert seat.elsewhere_seconds == {"job": 1.5}
    for number in range(MAX_JOBS):
        seat.spend_elsewhere(f"job-{number}", 1.0)
    assert len(seat.elsewhere_seconds) == MAX_JOBS
    assert "job" not in seat.elsewhere_seconds
