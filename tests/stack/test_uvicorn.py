"""``uvicorn ingress.app:app``, ``status`` and ``migrate`` beside a running ``up``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import PostgresServer
from tests.stack.ask import message
from tests.stack.history import History
from tests.stack.second_ingress import SecondIngress, environment_of
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.traffic import conversations_for, in_the_middle, open_traffic

pytestmark = pytest.mark.timeout(180)


@asynccontextmanager
async def uvicorn(server: Server, directory: Path, *arguments: str) -> AsyncIterator[str]:
    """Serve with uvicorn beside ``server``; give the address, and stop it at the end."""
    ingress = await SecondIngress(server, directory, *arguments).start()
    try:
        yield ingress.url
    finally:
        await ingress.stop()


async def test_uvicorn_workers_serve_a_running_cluster_by_its_data_folder_alone(
    server: Server, stubs: Stubs, stack_postgres: PostgresServer, tmp_path: Path
) -> None:
    ids = conversations_for(stubs, "uvicorn")
    async with uvicorn(server, tmp_path, "--workers", "2") as url:
        async with open_traffic(url, concurrency=200) as traffic:
            sending = await in_the_middle(traffic, stubs, ids)
            await sending
            await History.when_over(stack_postgres.url, stubs, ids)
            # Callers of each instance hear what became of their messages.
            async with open_traffic(server.url) as beside:
                bodies = [message(it, "by the other door") for it in ids[:10]]
                await asyncio.gather(
                    beside.send_all(bodies),
                    traffic.send_all([message(it, "by this door") for it in ids[10:]]),
                )
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health")).json()["status"] == "healthy"

    history = await History.when_over(stack_postgres.url, stubs, ids)
    history.check(traffic.bodies | beside.bodies, is_undisturbed=True)
    assert not traffic.refusals
    answers = [result["status"] for results in traffic.results.values() for result in results]
    assert set(answers) <= {"completed", "restart_needed", "locked"}
    assert {results[0]["status"] for results in beside.results.values()} == {"completed"}


async def test_a_second_server_may_stop_in_the_middle_of_its_callers_turns(
    server: Server, stubs: Stubs, stack_postgres: PostgresServer, tmp_path: Path
) -> None:
    ids = conversations_for(stubs, "leaving")
    async with open_traffic(server.url, concurrency=200) as beside:
        async with (
            uvicorn(server, tmp_path) as url,
            open_traffic(url, concurrency=200) as traffic,
        ):
            sending = await in_the_middle(traffic, stubs, ids)
        await asyncio.gather(sending, return_exceptions=True)
        await beside.send_all([message(it, "who else is here?") for it in ids])
    history = await History.when_over(stack_postgres.url, stubs, ids)
    history.check(traffic.bodies | beside.bodies, is_undisturbed=True)


def test_status_and_migrate_find_the_running_server(server: Server, tmp_path: Path) -> None:
    def run(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ingress.cli", command],
            cwd=tmp_path,
            env=environment_of(server),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    status = run("status")
    assert server.url in status
    assert "healthy" in status
    assert "ConversationHost" in status
    assert "StorageWriter" in status
    assert "newest version" in run("migrate")
