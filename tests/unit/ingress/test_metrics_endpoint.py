"""``GET /metrics``: what this process and the actors have counted, for Prometheus."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.outcome import OutcomeKind
from storage.metrics import (
    ADDED_LATENCY,
    HTTP_RESPONSES,
    MAILBOX_MESSAGES,
    MESSAGES_IN_FLIGHT,
    METRICS,
    TURNS,
    WRITE_BATCHES,
)
from storage.records import AcceptOutcome
from tests.unit.ingress.conftest import ADMIN_TOKEN, ENHANCED, MESSAGES_TOKEN, World

OWN = {"process": "ingress-test"}


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_it_is_open_and_prometheus_reads_it(world: World) -> None:
    await world.client.get("/health")
    response = await world.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    read = samples(response.text)
    assert read[key(MESSAGES_IN_FLIGHT.name, **OWN)] == 7
    assert read[key(HTTP_RESPONSES.name, status="200", **OWN)] >= 1
    assert read[key(f"{ADDED_LATENCY.name}_bucket", le="+Inf", **OWN)] == ADDED_LATENCY.count()


async def test_every_metric_has_its_help_and_its_type(world: World) -> None:
    text = (await world.client.get("/metrics")).text
    for name, metric in METRICS.items():
        assert f"# HELP {name} {metric.help_text}" in text
        assert f"# TYPE {name} {metric.kind}" in text


async def test_it_shows_what_the_actors_reported(world: World) -> None:
    batch = [0.0] * (len(WRITE_BATCHES.bounds) + 2)
    batch[0], batch[1], batch[-1] = 3, 1, 5
    world.gateway.actor_figures = {
        "host-0": {MAILBOX_MESSAGES.name: {"": [4]}, TURNS.name: {"completed": [9]}},
        "writer-0": {WRITE_BATCHES.name: {"accept": batch}, "of_a_later_release": {"": [1]}},
    }
    read = samples((await world.client.get("/metrics")).text)
    assert read[key(MAILBOX_MESSAGES.name, process="host-0")] == 4
    assert read[key(TURNS.name, process="host-0", outcome="completed")] == 9
    sizes = {"process": "writer-0", "kind": "accept"}
    assert read[key(f"{WRITE_BATCHES.name}_bucket", le="1", **sizes)] == 3
    assert read[key(f"{WRITE_BATCHES.name}_bucket", le="2", **sizes)] == 4
    assert read[key(f"{WRITE_BATCHES.name}_count", **sizes)] == 4
    assert read[key(f"{WRITE_BATCHES.name}_sum", **sizes)] == 5


async def test_buckets_of_another_release_are_left_out(world: World) -> None:
    world.gateway.actor_figures = {"writer-0": {WRITE_BATCHES.name: {"accept": [1, 2]}}}
    text = (await world.client.get("/metrics")).text
    assert 'process="writer-0"' not in text


async def test_with_metrics_auth_it_asks_for_the_scope_admin(world: World) -> None:
    async with world.client_with(metrics_auth=True) as client:
        refused = await client.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        for token, status in ((MESSAGES_TOKEN, 403), (ADMIN_TOKEN, 200)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/metrics", headers=headers)).status_code == status


@pytest.mark.parametrize(("outcome", "counted"), [("accepted", 1), ("duplicate", 0)])
async def test_added_latency_leaves_out_what_was_spent_elsewhere(
    world: World, enhanced_body: dict[str, Any], outcome: str, counted: int
) -> None:
    def total() -> float:
        return dict(ADDED_LATENCY.series())[""][-1]

    world.gateway.answer = {"outcome": AcceptOutcome(outcome)}
    word = {"job_id": "j", "result": "{}", "elsewhere_seconds": 3600.0}
    world.gateway.will_say(OutcomeKind.COMPLETED, **word)
    count, seconds = ADDED_LATENCY.count(), total()
    assert (await world.post(ENHANCED, enhanced_body)).status_code == 200
    assert ADDED_LATENCY.count() - count == counted
    assert total() == seconds  # an hour is more than the request took
