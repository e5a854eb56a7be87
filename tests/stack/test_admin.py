"""What operators see and do."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import pytest

from tests.stack.ask import chat, detail, recorded, say, start_turn
from tests.stack.inside import Inside
from tests.stack.server import wait_for
from tests.stack.stubs import Stubs

CONVERSATIONS = "/api/v1/admin/conversations"
END = {"response_text": "Goodbye.", "actions": [{"type": "end_conversation", "data": {}}]}
ACTION_TYPES = [
    "send_message",
    "send_quick_replies",
    "send_carousel",
    "transfer_to_agent",
    "collect_info",
    "execute_api",
    "end_conversation",
]


async def _page(admin: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    response = await admin.get(CONVERSATIONS, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def test_the_list_shows_the_newest_first_with_every_field(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await recorded(admin, turn)
    waiting = await say(client, conversation_id, "second")
    page = await _page(admin, limit=1)
    assert page["storage_backend"] == "Redis"
    assert page["total_conversations"] >= 1
    (item,) = page["conversations"]
    owner = item.pop("owner")
    assert isinstance(owner, str)
    timestamp = item.pop("last_message_timestamp")
    assert abs(timestamp - time.time()) < 60
    assert abs(item.pop("last_accepted_at") - time.time()) < 60
    assert item == {
        "conversation_id": conversation_id,
        "last_message_id": waiting["message_id"],
        "ai_processing": True,
        "context_size": 0,
        "status": "active",
        "waiting_messages": 1,
        "bot_id": "default",
        "undelivered_jobs": 0,
        "waits_for": ["ai", "running_turn"],
    }
    turn.finish()
    await turn.caller

    async def is_done() -> bool:
        (found,) = (await _page(admin, limit=1))["conversations"]
        return bool(
            found["conversation_id"] == conversation_id
            and not found["ai_processing"]
            and found["waiting_messages"] == 0
            and found["context_size"] == 4
            and found["last_message_id"] == waiting["message_id"]
        )

    await wait_for(is_done, what="both messages are answered")


async def test_a_cursor_leads_through_all_conversations_once(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = [f"conv_{uuid.uuid4().hex}" for _ in range(7)]
    for conversation_id in made:
        await say(client, conversation_id, sender_type="system")
    seen: list[str] = []
    cursor = None
    while len(seen) < len(made):
        page = await _page(admin, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [it["conversation_id"] for it in page["conversations"]]
        cursor = page["next_cursor"]
        assert cursor or len(seen) >= len(made)
    assert seen[:7] == made[::-1]
    assert len(set(seen)) == len(seen)


async def test_the_last_page_has_no_cursor(admin: httpx.AsyncClient) -> None:
    cursor, pages = None, 0
    while True:
        page = await _page(admin, limit=500, **({"cursor": cursor} if cursor else {}))
        cursor, pages = page["next_cursor"], pages + 1
        if cursor is None:
            break
        assert len(page["conversations"]) == 500
        assert pages < 100


async def test_the_list_can_be_of_one_status(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, END)
    await say(client, conversation_id)
    ended = await _page(admin, status="ended", limit=1)
    assert ended["conversations"][0]["conversation_id"] == conversation_id
    for status in ("active", "with_agent", "ended"):
        page = await _page(admin, status=status, limit=20)
        assert {it["status"] for it in page["conversations"]} <= {status}
        if status != "ended":
            found = [it["conversation_id"] for it in page["conversations"]]
            assert conversation_id not in found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "\0"}, "cursor"),
        ({"status": "sleeping"}, "status"),
    ],
)
async def test_a_bad_query_is_refused_by_name(
    admin: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    response = await admin.get(CONVERSATIONS, params=query)
    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"
    assert response.json()["details"][0]["field"] == field


async def test_the_detail_says_why_a_conversation_waits(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await recorded(admin, turn)
    second = await say(client, conversation_id, "second")
    found = await detail(admin, conversation_id)
    assert found["conversation_id"] == conversation_id
    assert found["ai_processing"] is True
    assert found["running_job_id"] == turn.job_id
    assert found["waiting_messages"] == 1
    assert found["epoch"] == 1
    assert found["owner"] == found["lease"]["owner"]
    assert 0 < found["lease_seconds_left"] <= 3
    assert found["next_retry_at"] is None
    by_id = {it["message_id"]: it for it in found["messages"]}
    assert by_id[turn.body["message_id"]]["content"] == "first"
    assert by_id[second["message_id"]]["processed_at"] is None
    assert {it["status"] for it in found["jobs"]} == {"processing", "queued"}
    assert found["actions"] == []
    turn.finish()
    await turn.caller
    actions = (await detail(admin, conversation_id))["actions"]
    assert actions[-1]["action_type"] == "send_message"


async def test_an_unknown_conversation_is_not_found(
    admin: httpx.AsyncClient, conversation_id: str
) -> None:
    response = await admin.get(f"{CONVERSATIONS}/{conversation_id}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_health_has_every_field(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await recorded(admin, turn)
    response = await admin.get("/api/v1/admin/health")
    assert response.status_code == 200
    health = response.json()
    assert abs(health.pop("timestamp") - time.time()) < 60
    statistics = health.pop("statistics")
    assert statistics["total_conversations"] >= 1
    assert statistics["active_ai_tasks"] >= 1
    assert statistics["stuck_conversations"] == len(health.pop("stuck_conversations"))
    assert health == {
        "status": "healthy",
        "redis_status": "connected",
        "postgres_status": "connected",
        "storage_backend": "Redis",
        "supported_action_types": ACTION_TYPES,
    }
    turn.finish()
    await turn.caller


async def test_a_turn_that_runs_for_too_long_is_stuck(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await recorded(admin, turn)
    await inside.rows(
        """update conversations set running_since = running_since - interval '1 hour'
        where conversation_id = $1""",
        conversation_id,
    )
    await inside.rows(
        """update messages set accepted_at = accepted_at - interval '1 hour'
        where conversation_id = $1""",
        conversation_id,
    )
    health = (await admin.get("/api/v1/admin/health")).json()
    stuck = {it["conversation_id"]: it for it in health["stuck_conversations"]}
    assert stuck[conversation_id]["job_id"] == turn.job_id
    assert stuck[conversation_id]["reason"] == "turn_too_long"
    turn.finish()
    await turn.caller


async def test_statistics_have_every_field(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)
    await recorded(admin, turn)
    statistics = (await admin.get("/api/v1/admin/stats")).json()
    assert abs(statistics["timestamp"] - time.time()) < 60
    assert set(statistics["conversations"]) == {"total", "recent", "old", "active_processing"}
    assert statistics["conversations"]["total"] >= statistics["conversations"]["recent"] >= 1
    assert statistics["conversations"]["active_processing"] >= 1
    assert statistics["storage_backend"] == "Redis"
    redis = statistics["redis_stats"]
    assert redis["connected_clients"] >= 1
    assert isinstance(redis["used_memory_human"], str)
    assert redis["keyspace_hits"] >= 0
    assert redis["keyspace_misses"] >= 0
    assert statistics["postgres_stats"]["connections"] >= 1
    assert len(statistics["actors"]) >= 3
    turn.finish()
    await turn.caller


async def _make_old(inside: Inside, conversation_id: str, hours: int) -> None:
    await inside.rows(
        """update conversations set
            last_accepted_at = last_accepted_at - make_interval(hours => $2),
            last_settled_at = last_settled_at - make_interval(hours => $2),
            owner_until = least(owner_until, now())
        where conversation_id = $1""",
        conversation_id,
        hours,
    )


@pytest.mark.parametrize("path", ["/api/v1/admin/system/cleanup", "/admin/system/cleanup"])
async def test_a_cleanup_drops_what_is_idle_for_longer_and_a_dry_run_only_counts(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, inside: Inside, path: str
) -> None:
    old, young = f"conv_{uuid.uuid4().hex}", f"conv_{uuid.uuid4().hex}"
    for conversation_id in (old, young):
        await say(client, conversation_id)
    await _make_old(inside, old, 1000)
    await _make_old(inside, young, 500)
    query = {"max_age_hours": "900", "dry_run": "true"}

    dry = (await admin.post(path, params=query)).json()
    assert (dry["success"], dry["dry_run"], dry["max_age_hours"]) == (True, True, 900)
    removed = dry["removed"]
    assert set(removed) == {
        "conversations",
        "messages",
        "jobs",
        "actions",
        "redis_states",
        "orphaned_leases",
    }
    assert (removed["conversations"], removed["messages"]) == (1, 2)
    assert (removed["jobs"], removed["actions"]) == (1, 1)
    assert (await detail(admin, old))["conversation_id"] == old

    real = (await admin.post(path, params={**query, "dry_run": "false"})).json()
    assert (real["success"], real["dry_run"]) == (True, False)
    assert real["removed"]["conversations"] == 1
    assert (await admin.get(f"{CONVERSATIONS}/{old}")).status_code == 404
    assert (await detail(admin, young))["conversation_id"] == young
    assert await inside.messages(old) == []
    assert await inside.jobs(old) == []
    assert await inside.actions(old) == []
    assert await inside.lease(old) is None
    # Its id may be used again.
    assert (await say(client, old))["status"] == "completed"


async def test_a_cleanup_never_drops_what_is_unfinished(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
    inside: Inside,
) -> None:
    undelivered = f"{conversation_id}_2"
    stubs.plan_platform(undelivered, (503, {}, {"Retry-After": "120"}))
    await say(client, undelivered)
    turn = await start_turn(client, stubs, conversation_id)
    for it in (conversation_id, undelivered):
        await _make_old(inside, it, 1000)
    answer = await admin.post("/api/v1/admin/system/cleanup", params={"max_age_hours": "900"})
    assert answer.json()["removed"]["conversations"] == 0
    turn.finish()
    assert (await turn.caller)["status"] == "completed"
    assert len(stubs.deliveries(conversation_id)) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"max_age_hours": "0"}, "max_age_hours"),
        ({"max_age_hours": "-1"}, "max_age_hours"),
        ({"max_age_hours": "nan"}, "max_age_hours"),
        ({"max_age_hours": "1e400"}, "max_age_hours"),
        ({"max_age_hours": "old"}, "max_age_hours"),
        ({"dry_run": "perhaps"}, "dry_run"),
    ],
)
async def test_a_bad_cleanup_is_refused_by_name(
    admin: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    response = await admin.post("/api/v1/admin/system/cleanup", params=query)
    assert response.status_code == 422
    assert response.json()["details"][0]["field"] == field


async def test_a_real_platform_leaves_the_simulated_one_without_deliveries(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, conversation_id: str
) -> None:
    await say(client, conversation_id)
    response = await admin.get("/api/v1/admin/deliveries")
    assert response.status_code == 200
    assert response.json()["deliveries"] == []


async def test_the_handler_counts_the_jobs_it_works_on(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    turn = await start_turn(client, stubs, conversation_id)

    async def is_counted() -> bool:
        response = await client.get("/api/v1/status/handler", headers={"Authorization": ""})
        assert response.status_code == 200
        status: dict[str, Any] = response.json()
        jobs = status["components"]["background_job_manager"].pop("active_jobs")
        assert status == {
            "initialized": True,
            "components": {
                "redis_connected": True,
                "lock_manager": True,
                "background_job_manager": {"redis_connected": True, "status": "healthy"},
            },
            "status": "healthy",
        }
        return bool(jobs >= 1)

    await wait_for(is_counted, what="the running turn is counted")
    turn.finish()
    await turn.caller


@pytest.mark.parametrize(("path", "status"), [("/health", "healthy"), ("/health/live", None)])
async def test_health_is_open(client: httpx.AsyncClient, path: str, status: str | None) -> None:
    response = await client.get(path, headers={"Authorization": ""})
    assert response.status_code == 200
    if status:
        assert response.json() == {"status": status}


async def test_conversations_of_both_endpoints_are_listed(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, conversation_id: str
) -> None:
    answer = await chat(client, "<USER>a</USER>", conversation_id=conversation_id)
    assert answer["success"]
    listed = (await _page(admin, limit=20))["conversations"]
    assert conversation_id in [it["conversation_id"] for it in listed]
