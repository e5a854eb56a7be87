from __future__ import annotations

import pytest

from storage.cursors import InvalidCursor
from storage.dead_letters import DeadLetter, DeadLetterPage, RetriedLetter
from tests.unit.ingress.conftest import MESSAGES_TOKEN, World

BASE = "/api/v1/admin/dead-letters"
LETTER = DeadLetter("j1", "message", "c", ["m1", "m2"], "ai_error", "status 500", 3, 1.0, 2.0)


async def test_the_list_of_dead_letters(world: World) -> None:
    world.store.letters = DeadLetterPage(7, [LETTER], "next")
    answer = await world.get(f"{BASE}?limit=5&cursor=1.YWJj&kind=message")
    assert answer.status_code == 200
    assert answer.json() == {
        "total_dead_letters": 7,
        "dead_letters": [
            {
                "id": "j1",
                "kind": "message",
                "conversation_id": "c",
                "job_id": "j1",
                "message_ids": ["m1", "m2"],
                "reason": "ai_error",
                "error": "status 500",
                "attempts": 3,
                "created_at": 1.0,
                "dead_letter_at": 2.0,
            }
        ],
        "next_cursor": "next",
    }
    await world.get(BASE)
    assert world.store.calls == [
        ("dead_letters", 5, "1.YWJj", "message"),
        ("dead_letters", 50, None, None),
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("kind=job", "kind"),
        ("kind=", "kind"),
        ("cursor=" + "x" * 3000, "cursor"),
        ("cursor=%FF", ""),
    ],
)
async def test_a_bad_query_is_422(world: World, query: str, field: str) -> None:
    answer = await world.get(f"{BASE}?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["details"][0]["field"] == field
    assert world.store.calls == []


async def test_a_cursor_that_is_none_is_422(world: World) -> None:
    world.store.page_error = InvalidCursor("this is not a cursor of this list")
    answer = await world.get(f"{BASE}?cursor=1.zzz")
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    ("kind", "job_id", "status"), [("message", "j9", "queued"), ("delivery", "j1", "pending")]
)
async def test_one_is_tried_again_and_its_host_told(
    world: World, kind: str, job_id: str, status: str
) -> None:
    world.store.retried = [RetriedLetter("j1", kind, "c", job_id)]
    answer = await world.post(f"{BASE}/j1/retry")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "id": "j1",
        "kind": kind,
        "job_id": job_id,
        "status": status,
    }
    assert world.gateway.calls == [("reopened", "c")]


@pytest.mark.parametrize("letter_id", ["x", "a%2Fb", "%00", "%ED%A0%80"])
async def test_what_is_no_dead_letter_is_404(world: World, letter_id: str) -> None:
    answer = await world.post(f"{BASE}/{letter_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert world.gateway.calls == []


async def test_all_are_tried_again(world: World) -> None:
    world.store.retried = [
        RetriedLetter("j1", "message", "c", "j9"),
        RetriedLetter("j2", "delivery", "d", "j2"),
        RetriedLetter("j3", "delivery", "d", "j3"),
    ]
    answer = await world.post(f"{BASE}/retry?kind=delivery")
    assert answer.json() == {"success": True, "retried": {"messages": 1, "deliveries": 2}}
    assert world.store.calls == [("retry_all_dead_letters", "delivery")]
    assert set(world.gateway.calls) == {("reopened", "c"), ("reopened", "d")}
    bad = await world.post(f"{BASE}/retry?kind=x")
    assert bad.status_code == 422


async def test_methods_and_scopes(world: World) -> None:
    for path, allowed in (
        (BASE, "GET, HEAD"),
        (f"{BASE}/retry", "POST"),
        (f"{BASE}/x/retry", "POST"),
    ):
        answer = await world.client.put(path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert (await world.get(BASE, token=MESSAGES_TOKEN)).status_code == 403
    assert (await world.post(f"{BASE}/retry", token=MESSAGES_TOKEN)).status_code == 403
    assert (await world.client.post(f"{BASE}/x/retry")).status_code == 401


async def test_without_the_database_it_is_503(world: World) -> None:
    world.store.is_away = True
    for answer in (await world.get(BASE), await world.post(f"{BASE}/x/retry")):
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
