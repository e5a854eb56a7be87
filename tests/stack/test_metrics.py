"""What operators see of a running product: its actors by name, and its metrics, at every place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ingress.run_file import RunFile
from storage.metrics import HOST, INGRESS, METRICS, SUPERVISOR, WRITER
from tests.stack.ask import enhanced, message, say
from tests.stack.server import Server, wait_for
from tests.stack.stubs import Stubs

RAY = "ray_"
AI_ATTEMPTS = 3
REPORTED_SECONDS = 60.0
"""Ray's processes report every 10 s."""
DISCOVERY = "prom_metrics_service_discovery.json"


def samples_of(text: str, prefix: str = "") -> list[Sample]:
    """Return the samples of our metrics."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return [it for it in samples if it.name.startswith(f"{prefix}chat_orchestrator_")]


def value_of(samples: list[Sample], name: str, **labels: str) -> float:
    """Return the sum of the samples with these labels."""
    return sum(
        it.value for it in samples if it.name == name and labels.items() <= it.labels.items()
    )


def metric_of(name: str, prefix: str = "") -> str:
    """Return the metric that a sample is of."""
    plain = name.removeprefix(prefix)
    return plain if plain in METRICS else re.sub("_(bucket|sum|count)$", "", plain)


def ray_files(server: Server) -> Path:
    """Return Ray's folder of a server."""
    (found,) = {it.parent for it in server.data_dir.glob(f"ray/*/{DISCOVERY}")}
    return found


async def ray_samples(server: Server) -> list[Sample]:
    """Return our samples at all of the endpoints that Ray's service discovery file names."""
    (group,) = json.loads((ray_files(server) / DISCOVERY).read_text())
    found: list[Sample] = []
    async with httpx.AsyncClient() as client:  # with no token
        for target in group["targets"]:
            try:
                response = await client.get(f"http://{target}/metrics")
            except httpx.TransportError:
                continue  # it is written down before it listens
            found += samples_of(response.text, RAY)
    return found


def processes_of(samples: list[Sample]) -> dict[str, set[str]]:
    """Return the metrics of each kind of process."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        kind = sample.labels["process"].partition("-")[0]
        found.setdefault(kind, set()).add(metric_of(sample.name, RAY))
    return found


async def test_metrics_count_a_message_on_its_way(
    client: httpx.AsyncClient, conversation_id: str
) -> None:
    async def read() -> list[Sample]:
        return samples_of((await client.get("/metrics")).text)

    before = await read()
    await say(client, conversation_id, "hello")
    await say(client, conversation_id, "hello")

    async def risen(name: str, **labels: str) -> float:
        full = f"chat_orchestrator_{name}"
        return value_of(await read(), full, **labels) - value_of(before, full, **labels)

    assert await risen("messages_accepted_total") >= 1
    for name, labels in {
        "added_latency_seconds_count": {},
        "turns_total": {"outcome": "completed"},
        "ai_latency_seconds_count": {},
        "delivery_latency_seconds_count": {},
        "deliveries_total": {"result": "sent"},
        "write_batch_operations_count": {"kind": "accept"},
        "sweeps_total": {"result": "done"},
        "actor_calls_total": {"way": "direct"},
    }.items():

        async def has_risen(name: str = name, labels: dict[str, str] = labels) -> bool:
            return await risen(name, **labels) >= 1

        await wait_for(has_risen, what=name)


async def test_metrics_count_what_fails(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    before = samples_of((await client.get("/metrics")).text)
    stubs.plan_ai(conversation_id, *[(500, {}, {})] * AI_ATTEMPTS)
    stubs.plan_platform(conversation_id, 400)
    body = message(conversation_id)
    failed = await enhanced(client, body)
    assert failed["result"]["status"] == "failed"
    await say(client, conversation_id)
    again = await enhanced(client, body)
    assert again["result"]["duplicate"]

    async def are_counted() -> bool:
        now = samples_of((await client.get("/metrics")).text)

        def rise(name: str, **labels: str) -> float:
            full = f"chat_orchestrator_{name}"
            return value_of(now, full, **labels) - value_of(before, full, **labels)

        return (
            rise("ai_failures_total", reason="ai_error") >= AI_ATTEMPTS
            and rise("turns_total", outcome="failed") >= 1
            and rise("dead_letters_total", kind="message") >= 1
            and rise("dead_letters_total", kind="delivery") >= 1
            and rise("messages_duplicate_total") >= 1
        )

    await wait_for(are_counted)


async def test_rays_endpoints_carry_the_metrics_of_every_process(
    client: httpx.AsyncClient, server: Server, conversation_id: str
) -> None:
    await say(client, conversation_id, "hello")
    wanted = {
        kind: {it.name for it in metrics if next(it.series(), None) or it.kind != "gauge"}
        for kind, metrics in {
            "ingress": INGRESS,
            "host": HOST,
            "writer": WRITER,
            "supervisor": SUPERVISOR,
        }.items()
    }

    async def are_there() -> list[Sample]:
        samples = await ray_samples(server)
        found = processes_of(samples)
        is_complete = all(names <= found.get(kind, set()) for kind, names in wanted.items())
        accepted = value_of(samples, "ray_chat_orchestrator_messages_accepted_total")
        return samples if is_complete and accepted else []

    samples = await wait_for(are_there, REPORTED_SECONDS, "Ray has all metrics")
    assert {metric_of(it.name, RAY) for it in samples} <= set(METRICS)
    own_labels = {label for metric in METRICS.values() for label in [metric.label] if label}
    for sample in samples:
        ours = {it for it in sample.labels if it.islower() and not it.startswith("otel_")}
        assert ours <= {"process", "le", *own_labels}


def test_rays_dashboard_names_the_actors(server: Server) -> None:
    running = RunFile.read(server.data_dir)
    assert running is not None
    assert running.ray_address is not None
    command = [sys.executable, "-m", "ray.scripts.scripts", "list", "actors", "--detail"]
    listed = subprocess.run(
        [*command, "--format", "json", "--address", running.ray_address],
        env={
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": running.ray_auth_token or "",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
        capture_output=True,
        check=True,
    )
    alive = [it for it in json.loads(listed.stdout) if it["state"] == "ALIVE"]
    names = {it["name"]: it["repr_name"] for it in alive}
    assert names.keys() >= {"supervisor", "host-0", "host-1", "writer-0"}
    assert re.fullmatch(r"ConversationHost\([^/]+/0\)", names["host-0"])
    assert re.fullmatch(r"ConversationHost\([^/]+/1\)", names["host-1"])
    assert re.fullmatch(r"StorageWriter\([^/]+/0\)", names["writer-0"])
    assert re.fullmatch(r"Supervisor\([^/]+\)", names["supervisor"])
