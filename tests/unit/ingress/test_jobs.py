from __future__ import annotations

import pytest

from storage.admin import CancelledJob
from storage.records import JobStatus
from tests.unit.ingress.conftest import MESSAGES_TOKEN, World
from tests.unit.ingress.fakes import job

JOB = "550e8400-e29b-41d4-a716-446655440000"
PATH = f"/api/v1/jobs/{JOB}"


async def test_a_job_is_shown(world: World) -> None:
    world.store.jobs[JOB] = job(JOB, result='{"ai_response": {}}', message_ids=["a", "b"])
    answer = await world.get(PATH, MESSAGES_TOKEN)
    assert answer.status_code == 200
    assert answer.json() == {
        "job_id": JOB,
        "conversation_id": "c",
        "status": "completed",
        "reason": None,
        "superseded_by": None,
        "message_ids": ["a", "b"],
        "consolidated_messages": 1,
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": 3.0,
        "result": {"ai_response": {}},
    }


async def test_a_dead_letter_that_was_retried_names_the_job_that_does_it(world: World) -> None:
    world.store.jobs[JOB] = job(JOB, retried_by="next")
    assert (await world.get(f"/api/v1/jobs/{JOB}")).json()["retried_by"] == "next"


async def test_the_id_may_be_written_in_capitals(world: World) -> None:
    world.store.jobs[JOB] = job(JOB)
    assert (await world.get(f"/api/v1/jobs/{JOB.upper()}")).status_code == 200


@pytest.mark.parametrize(
    "job_id", ["x", f"{{{JOB}}}", JOB.replace("-", ""), f"urn:uuid:{JOB}", "%00", "a%2Fb", JOB]
)
async def test_what_is_no_known_job_is_404(world: World, job_id: str) -> None:
    assert (await world.get(f"/api/v1/jobs/{job_id}")).status_code == 404
    assert (await world.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 404


@pytest.mark.parametrize("status", list(JobStatus))
async def test_cancelling_answers_the_state_that_holds(world: World, status: JobStatus) -> None:
    is_cancelled = status is JobStatus.CANCELLED
    world.store.cancelled_jobs[JOB] = CancelledJob(JOB, "c", status, has_changed=is_cancelled)
    answer = await world.post(f"{PATH}/cancel", token=MESSAGES_TOKEN)
    assert answer.status_code == 200
    assert answer.json() == {"success": is_cancelled, "job_id": JOB, "status": status.value}
    assert (("cancelled", "c", JOB) in world.gateway.calls) is is_cancelled


async def test_while_the_database_is_away_it_is_503(world: World) -> None:
    world.store.is_away = True
    answer = await world.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
