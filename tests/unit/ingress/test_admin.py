from __future__ import annotations

from urllib.parse import quote

import pytest

from actors.action_data import SUPPORTED_ACTION_TYPES
from storage.admin import CancelledConversation
from storage.postgres import DatabaseRejected
from storage.reads import InvalidCursor
from storage.redis_lease import LeaseHolder
from storage.views import (
    ActionView,
    ConversationDetail,
    ConversationPage,
    MessageView,
    StuckConversation,
)
from tests.unit.ingress.conftest import MESSAGES_TOKEN, World
from tests.unit.ingress.fakes import conversation, job

BASE = "/api/v1/admin"
ODD_IDS = ["a/b", "%2F", "a%b", "ü 😀", "..", "a?b#c", "a+b", "x" * 255]


def cancelled(conversation_id: str, owner: str | None, job_id: str | None) -> CancelledConversation:
    return CancelledConversation(conversation_id, 8, job_id, owner, None, None)


async def test_the_list_of_conversations(world: World) -> None:
    world.store.page = ConversationPage(42, [conversation()], "next")
    answer = await world.get(f"{BASE}/conversations?limit=7&cursor=1.YWJj&status=with_agent")
    assert answer.status_code == 200
    assert answer.json() == {
        "total_conversations": 42,
        "conversations": [
            {
                "conversation_id": "c",
                "last_message_id": "msg_67890",
                "last_message_timestamp": 1699123456.789,
                "ai_processing": False,
                "context_size": 15,
                "status": "active",
                "waiting_messages": 0,
                "owner": "host-0#1",
                "bot_id": "default",
                "last_accepted_at": 1.0,
                "undelivered_jobs": 0,
                "waits_for": [],
            }
        ],
        "next_cursor": "next",
        "storage_backend": "Redis",
    }
    assert world.store.calls == [("conversations", 7, "1.YWJj", "with_agent")]


async def test_the_list_has_defaults(world: World) -> None:
    await world.get(f"{BASE}/conversations?unknown=1")
    assert world.store.calls == [("conversations", 50, None, None)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=5_0", "limit"),
        ("status=busy", "status"),
        ("status=", "status"),
        ("status=%00", "status"),
        ("cursor=" + "x" * 3000, "cursor"),
        ("cursor=%FF", ""),
        ("cursor=zzz", "cursor"),
    ],
)
async def test_a_bad_query_is_422(world: World, query: str, field: str) -> None:
    answer = await world.get(f"{BASE}/conversations?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["details"][0]["field"] == field
    assert world.store.calls == []


async def test_a_bad_cursor_is_422(world: World) -> None:
    world.store.page_error = InvalidCursor("not a cursor")
    answer = await world.get(f"{BASE}/conversations?cursor=1.zzz")
    assert answer.status_code == 422
    assert answer.json()["details"] == [{"field": "cursor", "problem": "not a cursor"}]


async def test_a_cursor_with_what_the_database_does_not_take_is_422(world: World) -> None:
    world.store.page_error = DatabaseRejected("no such text")
    answer = await world.get(f"{BASE}/conversations?cursor=1.zzz")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


@pytest.mark.parametrize("conversation_id", ODD_IDS)
async def test_an_id_may_hold_any_character(world: World, conversation_id: str) -> None:
    world.store.cancellations[conversation_id] = cancelled(conversation_id, None, None)
    encoded = quote(conversation_id, safe="").replace(".", "%2E")
    answer = await world.post(f"{BASE}/conversations/{encoded}/cancel")
    assert answer.status_code == 200, answer.text
    assert answer.json()["conversation_id"] == conversation_id


@pytest.mark.parametrize("encoded", ["%00", "a%00b", "%FF", "%ED%A0%80", ""])
async def test_an_id_that_nothing_can_have_is_404(world: World, encoded: str) -> None:
    for answer in (
        await world.get(f"{BASE}/conversations/{encoded}x"),
        await world.post(f"{BASE}/conversations/{encoded}/cancel"),
        await world.post(f"{BASE}/conversations/{encoded}/resume"),
    ):
        assert answer.status_code == 404


async def test_cancel_raises_the_epoch_then_deletes_the_lease(world: World) -> None:
    world.store.cancellations["c"] = cancelled("c", "host-0#1", "job-1")
    world.redis.leases["c"] = LeaseHolder("host-0#1", "default", "l", 9.0)
    answer = await world.post(f"{BASE}/conversations/c/cancel")
    assert answer.json() == {
        "success": True,
        "conversation_id": "c",
        "cancelled_job_id": "job-1",
        "lock_released": True,
    }
    assert world.redis.leases == {}
    assert world.gateway.calls == [("reset", "c")]


async def test_cancelling_an_idle_conversation_releases_nothing(world: World) -> None:
    world.store.cancellations["c"] = cancelled("c", None, None)
    answer = await world.post(f"{BASE}/conversations/c/cancel")
    assert answer.json() == {
        "success": True,
        "conversation_id": "c",
        "cancelled_job_id": None,
        "lock_released": False,
    }


async def test_the_lease_stays_when_the_epoch_was_not_raised(world: World) -> None:
    world.store.is_away = True
    answer = await world.post(f"{BASE}/conversations/c/cancel")
    assert answer.status_code == 503
    assert world.redis.calls == []


async def test_resume(world: World) -> None:
    world.store.cancellations["c"] = cancelled("c", None, None)
    answer = await world.post(f"{BASE}/conversations/c/resume")
    assert answer.json() == {"success": True, "conversation_id": "c", "status": "active"}
    assert world.gateway.calls == [("reset", "c")]


async def test_the_detail_of_a_conversation(world: World) -> None:
    message = MessageView(
        "m", "j", None, 1, "u", "user", "default", "hi", 1.0, 1, '{"a": 1}', None, 1.0, None
    )
    action = ActionView("a", "j", 0, "send_message", '{"message": "x"}', "sent", None, 0, 1.0, 1.0)
    world.store.details["c"] = ConversationDetail(
        conversation(waiting_messages=2, undelivered_jobs=1), 99.0, [message], [job("j")], [action]
    )
    world.redis.leases["c"] = LeaseHolder("host-0#1", "default", "l", 9.0)
    detail = (await world.get(f"{BASE}/conversations/c")).json()
    assert detail["conversation_id"] == "c"
    assert (detail["owner"], detail["epoch"], detail["waiting_messages"]) == ("host-0#1", 7, 2)
    assert detail["lease"]["lock_id"] == "l"
    assert detail["lease_seconds_left"] == 9.0
    assert (detail["undelivered_jobs"], detail["next_retry_at"]) == (1, 99.0)
    assert detail["messages"][0]["metadata"] == {"a": 1}
    assert detail["jobs"][0]["job_id"] == "j"
    assert detail["actions"][0]["data"] == {"message": "x"}
    assert detail["storage_backend"] == "Redis"


async def test_the_admin_health(world: World) -> None:
    world.store.stuck = [StuckConversation("c", "no_owner", None, None, 61.0, 2)]
    body = (await world.get(f"{BASE}/health")).json()
    assert body.pop("timestamp") > 0
    assert body == {
        "status": "healthy",
        "statistics": {
            "total_conversations": 42,
            "active_ai_tasks": 3,
            "stuck_conversations": 1,
        },
        "redis_status": "connected",
        "postgres_status": "connected",
        "storage_backend": "Redis",
        "stuck_conversations": [
            {
                "conversation_id": "c",
                "reason": "no_owner",
                "owner": None,
                "job_id": None,
                "stuck_seconds": 61.0,
                "waiting_messages": 2,
            }
        ],
        "supported_action_types": list(SUPPORTED_ACTION_TYPES),
    }


async def test_the_admin_health_answers_while_all_is_away(world: World) -> None:
    world.store.is_away = True
    world.redis.is_connected = False
    body = (await world.get(f"{BASE}/health")).json()
    assert (body["status"], body["postgres_status"]) == ("unhealthy", "disconnected")
    assert (body["redis_status"], body["storage_backend"]) == ("disconnected", "Memory")


async def test_the_statistics(world: World) -> None:
    body = (await world.get(f"{BASE}/stats")).json()
    assert body.pop("timestamp") > 0
    assert body["conversations"] == {"total": 42, "recent": 15, "old": 5, "active_processing": 3}
    assert body["redis_stats"] == {"connected_clients": 12}
    assert body["postgres_stats"]["server_version"] == "15.1"
    assert body["actors"] == world.gateway.describe_actors()
    assert body["storage_backend"] == "Redis"


@pytest.mark.parametrize("path", [f"{BASE}/system/cleanup", "/admin/system/cleanup"])
async def test_the_clean_up(world: World, path: str) -> None:
    world.redis.leases["b"] = LeaseHolder("gone", "default", "l", 9.0)
    answer = await world.post(f"{path}?max_age_hours=0.5")
    assert answer.json() == {
        "success": True,
        "dry_run": False,
        "max_age_hours": 0.5,
        "removed": {
            "conversations": 2,
            "messages": 5,
            "jobs": 4,
            "actions": 3,
            "redis_states": 2,
            "orphaned_leases": 1,
        },
    }
    assert world.store.calls == [("cleanup", 0.5, False)]


async def test_leases_of_conversations_that_are_not_there_are_cleaned_up(world: World) -> None:
    lease = LeaseHolder("host", "cluster", "lock", 3.0)
    world.redis.leases |= {"unknown_1": lease, "known": lease}

    dry = (await world.post(f"{BASE}/system/cleanup?dry_run=true")).json()
    assert set(world.redis.leases) == {"unknown_1", "known"}
    real = (await world.post(f"{BASE}/system/cleanup")).json()

    assert dry["removed"]["orphaned_leases"] == real["removed"]["orphaned_leases"] == 1
    assert set(world.redis.leases) == {"known"}


async def test_a_dry_run_touches_nothing(world: World) -> None:
    body = (await world.post(f"{BASE}/system/cleanup?dry_run=true")).json()
    assert (body["dry_run"], body["max_age_hours"]) == (True, 24.0)
    assert body["removed"]["redis_states"] == 0
    assert world.store.calls == [("cleanup", 24.0, True)]


@pytest.mark.parametrize(
    "query",
    [
        "max_age_hours=0",
        "max_age_hours=-1",
        "max_age_hours=nan",
        "max_age_hours=inf",
        "max_age_hours=1e999",
        "max_age_hours=",
        "max_age_hours=x",
        "dry_run=maybe",
        "dry_run=",
    ],
)
async def test_a_bad_clean_up_is_422(world: World, query: str) -> None:
    answer = await world.post(f"{BASE}/system/cleanup?{query}")
    assert answer.status_code == 422
    assert world.store.calls == []


async def test_a_very_old_age_is_taken(world: World) -> None:
    assert (await world.post(f"{BASE}/system/cleanup?max_age_hours=1e300")).status_code == 200


async def test_the_deliveries(world: World) -> None:
    world.gateway.deliveries = [{"job_id": "j"}]
    assert (await world.get(f"{BASE}/deliveries")).json() == {"deliveries": [{"job_id": "j"}]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "conversations"),
        ("GET", "conversations/c"),
        ("POST", "conversations/c/cancel"),
        ("POST", "conversations/c/resume"),
        ("GET", "health"),
        ("GET", "stats"),
        ("POST", "system/cleanup"),
        ("GET", "bots"),
        ("GET", "bots/b"),
        ("PUT", "bots/b"),
        ("DELETE", "bots/b"),
        ("GET", "deliveries"),
    ],
)
async def test_every_admin_endpoint_needs_the_scope(world: World, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {MESSAGES_TOKEN}"}
    answer = await world.client.request(method, f"{BASE}/{path}", headers=headers)
    assert answer.status_code == 403
    assert (await world.client.request(method, f"{BASE}/{path}")).status_code == 401
    assert world.store.calls == []
