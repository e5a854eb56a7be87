"""Why a conversation waits, and how the list is asked for those that do."""

from __future__ import annotations

from typing import Any

import pytest

from ingress.waiting import WAITING_REASONS, why_it_waits
from tests.unit.ingress.conftest import World
from tests.unit.ingress.fakes import conversation

CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"status": "ended"}, []),
    ({"status": "with_agent"}, ["agent"]),
    ({"ai_processing": True, "pending_messages": 1}, ["ai"]),
    (
        {"ai_processing": True, "pending_messages": 3, "waiting_messages": 2},
        ["ai", "running_turn"],
    ),
    ({"pending_messages": 1, "waiting_messages": 1}, ["owner"]),
    ({"pending_messages": 1, "owner": None}, ["no_owner"]),
    ({"pending_messages": 1, "owner": None, "attempts": 3}, ["no_owner", "many_attempts"]),
    ({"attempts": 3}, []),
    ({"undelivered_jobs": 1, "owner": None}, ["delivery"]),
]


@pytest.mark.parametrize(("fields", "reasons"), CASES)
def test_each_state_has_its_reasons(fields: dict[str, Any], reasons: list[str]) -> None:
    assert why_it_waits(conversation(**fields)) == reasons


def test_every_reason_is_among_them() -> None:
    assert {reason for _, reasons in CASES for reason in reasons} == set(WAITING_REASONS)


async def test_the_list_is_searched(world: World) -> None:
    path = "/api/v1/admin/conversations"
    await world.get(path)
    assert world.store.searched == ("", False)
    await world.get(f"{path}?search=conv%5F1%25&waiting=true")
    assert world.store.searched == ("conv_1%", True)
    for wrong in (f"search={'x' * 256}", "waiting=maybe", "search=%00"):
        assert (await world.get(f"{path}?{wrong}")).status_code == 422
