"""How the leases of a host are renewed: each once a round, part by part."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

from actors.conversation.events import Event, LeaseRenewed
from actors.lease_keeper import PART, LeaseKeeper
from actors.resources import Resources
from actors.seat import Seat
from storage.redis_lease import HeldLease, RenewalOutcome
from tests.unit.conversation.script import Script

COUNT = 2 * PART + 1


def seat_of(number: int) -> Seat:
    script = Script()
    script.own(trusted_until=time.monotonic() + 60)
    script.conversation.conversation_id = f"c{number}"
    return Seat(script.conversation)


async def test_a_round_renews_every_lease_once_and_few_at_a_time() -> None:
    parts: list[list[str]] = []
    told: list[str] = []

    async def renew(leases: list[HeldLease]) -> list[RenewalOutcome]:
        parts.append([it.conversation_id for it in leases])
        return [RenewalOutcome.RENEWED] * len(leases)

    def tell(seat: Seat, event: Event) -> None:
        assert isinstance(event, LeaseRenewed)
        told.append(seat.conversation_id)

    resources = SimpleNamespace(
        redis=SimpleNamespace(locks=SimpleNamespace(renew=renew), is_connected=True),
        lease_ttl_seconds=0.5,
        trusted_until=lambda sent_at: sent_at + 0.4,
    )
    seats = [seat_of(number) for number in range(COUNT)]
    keeper = LeaseKeeper(cast("Resources", cast("Any", resources)), lambda: seats, tell)
    await keeper.renew(is_paced=True)

    assert [len(part) for part in parts] == [PART, PART, 1]
    assert told == [name for part in parts for name in part] == [f"c{it}" for it in range(COUNT)]
