"""``up`` with servers of its own is stopped in the middle of turns, and started again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from ingress.run_file import RunFile
from tests.stack.ask import message
from tests.stack.conftest import LEASE_SECONDS
from tests.stack.history import History
from tests.stack.processes import process_tree, still_running
from tests.stack.server import ADMIN_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs
from tests.stack.traffic import AI_SECONDS, conversations_for, in_the_middle, open_traffic

LONGEST_STOP_SECONDS = 10
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def embedded(stubs: Stubs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that brings PostgreSQL and Valkey itself."""
    server = Server(
        tmp_path_factory.mktemp("restart"),
        AI_SERVICE_URL=stubs.url,
        PANCAKE_BASE_URL=stubs.url,
        PROCESSING_LOCK_TTL=str(LEASE_SECONDS),
        RATE_LIMIT="off",
    ).start()
    yield server
    server.close()


def database_of(server: Server) -> str:
    """Return where the database is that the server started."""
    running = RunFile.read(server.data_dir)
    assert running is not None
    assert running.database_url is not None
    return running.database_url


def main_process_id(server: Server) -> int:
    """Return the id of the process that started all the others."""
    assert server.process is not None
    return server.process.pid


async def stop_in_the_middle(
    server: Server, stubs: Stubs, number: signal.Signals, ai_seconds: float
) -> None:
    """Stop the server while turns run, start it again, and check what became of them."""
    ids = conversations_for(stubs, number.name)
    for conversation_id in ids[::2]:
        stubs.delay(conversation_id, ai_seconds)
    async with open_traffic(server.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        processes = process_tree(server)
        assert len(processes) > 8, "that cannot be all of them"
        assert await asyncio.to_thread(server.stop, number) == 0, server.log_end()
        left = await asyncio.to_thread(still_running, processes, 10)
        assert not left
        assert "Stopped." in server.log_end()

        for conversation_id in ids:
            stubs.delay(conversation_id, AI_SECONDS)
        await asyncio.to_thread(server.start)
        await sending
        history = await History.when_over(database_of(server), stubs, ids)
    history.check(traffic.bodies, is_undisturbed=False)
    assert len(traffic.bodies) == 2 * len(ids)
    # Nobody is left without an answer: who would have to wait for the next start is told so.
    assert ("processing" in traffic.statuses()) is (ai_seconds > LONGEST_STOP_SECONDS)
    assert not traffic.refusals
    left_over = [it for it in ids if any(call.was_cut_off for call in stubs.ai_calls(it))]
    print(f"{number.name}: {len(left_over)} of {len(ids)} turns were left to the next start")


@pytest.mark.parametrize("program", ["postgres", "valkey-server"])
async def test_an_embedded_server_that_dies_is_started_again(
    embedded: Server, stubs: Stubs, program: str
) -> None:
    ids = conversations_for(stubs, program)
    async with open_traffic(embedded.url, concurrency=200) as traffic:
        sending = await in_the_middle(traffic, stubs, ids)
        (root,) = [
            it
            for it in process_tree(embedded)
            if it.name() == program and it.ppid() == main_process_id(embedded)
        ]
        root.kill()
        await sending
        await traffic.send_all([message(it, "and now?") for it in ids])
        history = await History.when_over(database_of(embedded), stubs, ids)
        async with embedded.client() as client:

            async def is_healthy() -> bool:
                return bool((await client.get("/health")).json()["status"] == "healthy")

            await wait_for(is_healthy, 10, "it is healthy again")
    history.check(traffic.bodies, is_undisturbed=False)
    print(f"{program} killed: longest wait of a caller {max(traffic.waits):.1f} s")


@pytest.mark.soak  # it waits for what a stop does not wait for: 40 s
async def test_sigterm_lets_turns_finish_and_the_next_start_does_the_rest(
    embedded: Server, stubs: Stubs
) -> None:
    # Half of the turns take longer than a stop waits for them.
    await stop_in_the_middle(embedded, stubs, signal.SIGTERM, 25)


async def test_sigint_stops_as_well_and_data_is_kept(embedded: Server, stubs: Stubs) -> None:
    kept = conversations_for(stubs, "kept")[:5]
    async with open_traffic(embedded.url) as traffic:
        bodies = [message(it, "remember me") for it in kept]
        await traffic.send_all(bodies)

        await stop_in_the_middle(embedded, stubs, signal.SIGINT, 1)

        # Sent again after the restart, they are known to be answered.
        await traffic.send_all(bodies)
        answers = [traffic.results[body["message_id"]] for body in bodies]
        assert all(last["duplicate"] for _, last in answers)
        assert all(first["job_id"] == last["job_id"] for first, last in answers)
        await traffic.send_all([message(it, "who am I?") for it in kept])
    async with embedded.client(ADMIN_TOKEN) as admin:
        listed = (await admin.get("/api/v1/admin/conversations?limit=500")).json()
    assert {it["conversation_id"] for it in listed["conversations"]} >= set(kept)
    for conversation_id in kept:
        assert stubs.ai_calls(conversation_id)[-1].body["context"] == [
            {"role": "user", "content": "remember me"},
            {"role": "assistant", "content": "answer to remember me"},
        ]
    history = await History.when_over(database_of(embedded), stubs, kept)
    history.check(traffic.bodies, is_undisturbed=True)
