"""Erasing a conversation: what is asked of the database, Redis and the hosts."""

from __future__ import annotations

from typing import Any

import pytest

from storage.admin import CancelledConversation
from storage.postgres import DatabaseUnavailable
from storage.redis_lease import LeaseHolder
from tests.unit.ingress.conftest import ADMIN_TOKEN, MESSAGES_TOKEN, World

PATH = "/api/v1/admin/conversations/c"


async def _delete(world: World, path: str = PATH, token: str = ADMIN_TOKEN) -> Any:
    return await world.client.delete(path, headers={"Authorization": f"Bearer {token}"})


def _running(owner: str | None = "host-0#1") -> CancelledConversation:
    return CancelledConversation("c", 8, "job-1", owner, "far" if owner else None, "lock")


async def test_all_of_it_goes_and_every_host_is_told(world: World) -> None:
    world.store.cancellations["c"] = _running()
    world.redis.leases["c"] = LeaseHolder("host-0#1", "default", "lock", 9.0)
    answer = await _delete(world)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "conversation_id": "c",
            "cancelled_job_id": "job-1",
            "removed": {
                "conversations": 1,
                "messages": 4,
                "jobs": 3,
                "actions": 2,
                "redis_states": 1,
            },
        },
    )
    assert ("release", "c") in world.redis.calls
    assert world.redis.leases == {}
    assert world.gateway.calls == [("erased", "c", "default/host-0#1")]


async def test_an_owner_without_redis_is_told_too(world: World) -> None:
    world.store.cancellations["c"] = _running()
    await _delete(world)
    assert world.gateway.calls == [("erased", "c", "far/host-0#1")]


async def test_an_unknown_one_is_not_found_and_a_second_time_neither(world: World) -> None:
    world.redis.states = 0
    assert (await _delete(world)).status_code == 404
    world.store.cancellations["c"] = _running(None)
    assert (await _delete(world)).status_code == 200
    assert (await _delete(world)).json()["code"] == "not_found"


async def test_while_redis_is_away_it_is_to_be_asked_again(world: World) -> None:
    world.store.cancellations["c"] = _running()
    world.redis.is_connected = False
    answer = await _delete(world)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"]
    # Once it is back, what it still has makes the second try a success.
    world.redis.is_connected = True
    again = (await _delete(world)).json()
    assert (again["success"], again["removed"]["redis_states"]) == (True, 1)
    assert again["removed"]["conversations"] == 0


async def test_with_the_database_away_nothing_is_touched(world: World) -> None:
    world.store.is_away = True
    assert (await _delete(world)).status_code == 503
    assert world.redis.calls == []
    assert world.gateway.calls == []


async def test_only_an_administrator_may(world: World) -> None:
    assert (await _delete(world, token=MESSAGES_TOKEN)).status_code == 403
    assert world.store.calls == []


@pytest.mark.parametrize("encoded", ["%00", "%FF"])
async def test_an_id_that_nothing_can_have_is_not_found(world: World, encoded: str) -> None:
    answer = await _delete(world, f"/api/v1/admin/conversations/{encoded}")
    assert answer.status_code == 404


async def test_who_waits_for_an_answer_of_an_erased_conversation_hears_that_it_was_cancelled(
    world: World, enhanced_body: dict[str, Any]
) -> None:
    world.store.jobs = {}  # the job is stored, and gone by the time it is looked up
    answer = await world.post("/api/v1/enhanced-handle-message", enhanced_body)
    result = answer.json()["result"]
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert (result["status"], result["reason"]) == ("failed", "cancelled")


async def test_a_database_that_is_away_cancels_nothing(
    world: World, enhanced_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(job_id: str) -> None:
        raise DatabaseUnavailable(job_id)

    monkeypatch.setattr(world.store, "job", away)
    answer = await world.post("/api/v1/enhanced-handle-message", enhanced_body)
    assert answer.json()["result"]["status"] == "processing"
