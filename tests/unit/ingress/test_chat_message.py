from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest

from actors.outcome import OutcomeKind
from ingress.chat_flow import HOST_WAIT_SECONDS
from storage.records import AcceptOutcome, JobStatus
from tests.unit.ingress.conftest import CHAT, World
from tests.unit.ingress.fakes import job

HISTORY = "<USER>Hello, how are you?</USER><br><BOT>I'm doing well!</BOT><br>"
JOB = "550e8400-e29b-41d4-a716-446655440000"
FIELDS = {
    "success",
    "status",
    "message",
    "error",
    "action",
    "ai_job_id",
    "lock_id",
    "consolidated_messages",
    "bot_name",
    "conversation_id",
}


async def answer_of(world: World, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await world.post(CHAT, {"history": HISTORY, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert set(document) == FIELDS
    assert document["success"] is True
    assert document["error"] is None
    return document


async def test_a_turn_that_starts(world: World) -> None:
    world.gateway.will_say(OutcomeKind.STARTED, job_id=JOB, lock_id="lock-1")
    assert await answer_of(world, {"conversation_id": "c"}) == {
        "success": True,
        "status": "ai_processing_started",
        "message": "Message received and AI processing started",
        "error": None,
        "action": "lock_acquired",
        "ai_job_id": JOB,
        "lock_id": "lock-1",
        "consolidated_messages": 1,
        "bot_name": "Default Bot",
        "conversation_id": "c",
    }


async def test_a_turn_that_runs_already(world: World) -> None:
    world.gateway.will_say(OutcomeKind.LOCKED, job_id=JOB, queued=True, consolidated_messages=3)
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["action"]) == ("locked", "lock_exists")
    assert (document["ai_job_id"], document["consolidated_messages"]) == (JOB, 3)


async def test_a_rejected_message_has_no_job(world: World) -> None:
    world.gateway.will_say(OutcomeKind.LOCKED, job_id=None, queued=False)
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["ai_job_id"]) == ("locked", None)


@pytest.mark.parametrize(
    ("unfinished", "status", "action"),
    [(0, "ai_processing_started", "lock_acquired"), (2, "locked", "lock_exists")],
)
async def test_while_the_host_is_silent_acceptance_is_what_counts(
    world: World, unfinished: int, status: str, action: str
) -> None:
    world.gateway.answer = {"unfinished_jobs": unfinished}
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["action"]) == (status, action)
    assert document["lock_id"] is None
    assert document["ai_job_id"] == world.gateway.accepted[0].job_id
    assert world.gateway.waits == [HOST_WAIT_SECONDS]


async def test_a_recorded_message(world: World) -> None:
    world.gateway.will_say(OutcomeKind.RECORDED, job_id=JOB, reason="bot_disabled")
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["action"]) == ("recorded", "recorded")
    assert "bot_disabled" in document["message"]


async def test_the_new_part_is_the_message_and_the_rest_its_context(world: World) -> None:
    body = {"conversation_id": "c", "resources": {"user_id": "123", "bot_id": "sales", "x": 1}}
    await answer_of(world, body)
    (message,) = world.gateway.accepted
    assert message.content == "Hello, how are you?"
    assert message.parts == ["Hello, how are you?"]
    assert orjson.loads(message.context or "") == [
        {"role": "assistant", "content": "I'm doing well!"}
    ]
    assert message.message_id is None
    assert len(message.digest or "") == 64
    assert (message.sender_id, message.sender_type, message.bot_id) == ("123", "user", "sales")
    assert orjson.loads(message.metadata or "") == body["resources"]
    assert world.bots.asked == ["sales"]


async def test_a_conversation_id_is_made_where_there_is_none(world: World) -> None:
    for body in ({}, {"conversation_id": None}):
        document = await answer_of(world, body)
        assert uuid.UUID(document["conversation_id"]).version == 4


async def test_the_same_key_leads_to_the_same_conversation(world: World) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = await answer_of(world, {}, **headers)
    second = await answer_of(world, {}, **headers)
    other = await answer_of(world, {}, **{"Idempotency-Key": "key-2"})
    assert uuid.UUID(first["conversation_id"]).version == 5
    assert first["conversation_id"] == second["conversation_id"] != other["conversation_id"]
    assert world.gateway.accepted[0].message_id == "key-1"
    assert world.gateway.accepted[0].digest is None


async def test_the_key_does_not_change_a_conversation_id_that_is_given(world: World) -> None:
    document = await answer_of(world, {"conversation_id": "c"}, **{"Idempotency-Key": "k"})
    assert document["conversation_id"] == "c"


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_bad_key_is_422(world: World, key: str) -> None:
    answer = await world.post(CHAT, {"history": HISTORY}, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "Idempotency-Key"


async def test_the_digest_is_of_conversation_and_history(world: World) -> None:
    other = "<USER>other</USER>"
    for conversation_id, history in (("a", HISTORY), ("a", HISTORY), ("b", HISTORY), ("a", other)):
        await answer_of(world, {"conversation_id": conversation_id, "history": history})
    first, again, elsewhere, else_said = (it.digest for it in world.gateway.accepted)
    assert first == again
    assert len({first, elsewhere, else_said}) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"history": None},
        {"history": 5},
        {"history": "hello"},
        {"history": "<BOT>b</BOT>"},
        {"history": "<USER></USER>"},
        {"conversation_id": ""},
        {"conversation_id": "x" * 256},
        {"resources": []},
        {"resources": {"bot_id": 1}},
    ],
)
async def test_a_bad_request_is_422(world: World, body: dict[str, Any]) -> None:
    answer = await world.post(CHAT, {"history": HISTORY, **body})
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"].split(".")[0] == next(iter(body))
    assert world.gateway.accepted == []


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_duplicate_of_a_final_job_has_its_state(
    world: World, status: JobStatus, is_known: bool
) -> None:
    world.gateway.answer = {
        "outcome": AcceptOutcome.DUPLICATE,
        "job_id": JOB,
        "job_status": status,
    }
    if is_known:
        world.store.jobs[JOB] = job(JOB, status)
    else:
        world.store.is_away = True
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["action"]) == (status.value, "duplicate")
    assert document["ai_job_id"] == JOB
    assert world.gateway.routed == []


async def test_a_duplicate_in_a_turn_is_answered_like_the_first(world: World) -> None:
    world.gateway.answer = {
        "outcome": AcceptOutcome.DUPLICATE,
        "job_id": JOB,
        "job_status": JobStatus.PROCESSING,
    }
    world.gateway.will_say(OutcomeKind.STARTED, job_id=JOB, lock_id="l")
    document = await answer_of(world, {"conversation_id": "c"})
    assert (document["status"], document["ai_job_id"]) == ("ai_processing_started", JOB)


async def test_a_message_that_is_gone_is_looked_up(world: World) -> None:
    world.gateway.answer = {"job_id": JOB}
    world.gateway.will_say(OutcomeKind.GONE)
    world.store.jobs[JOB] = job(JOB, reason="empty_message")
    document = await answer_of(world, {"conversation_id": "c"})
    assert document["status"] == "recorded"
