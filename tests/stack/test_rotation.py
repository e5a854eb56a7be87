"""Tokens are replaced while the server runs and is in use: nobody with a valid one is refused."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ingress.run_file import RunFile
from tests.stack.ask import ENHANCED, message
from tests.stack.second_ingress import SecondIngress
from tests.stack.server import ADMIN_TOKEN, Server, wait_for

FIRST, SECOND = "first-token-0123456", "second-token-0123456"
CALLERS = 8
BOTS = "/api/v1/admin/bots"


def write(folder: Path, **settings: str) -> None:
    """Write an ``.env`` as an editor does: empty for a moment, then in parts."""
    with (folder / ".env").open("w") as file:
        for name, value in settings.items():
            file.write(f"{name}={value}\n")
            file.flush()


@pytest.fixture
async def ingress(server: Server, tmp_path: Path) -> AsyncIterator[SecondIngress]:
    """Return an instance with tokens of its own."""
    write(tmp_path, PANCAKE_ACCESS_TOKEN=FIRST, ADMIN_ACCESS_TOKEN=ADMIN_TOKEN)
    started = await SecondIngress(server, tmp_path).start()
    yield started
    await started.stop()


class Callers:
    """They send messages, one after the other, with the token that they have just then."""

    def __init__(self, url: str, conversation_id: str) -> None:
        self.tokens = [FIRST] * CALLERS
        self.answers: Counter[int] = Counter()
        self._url = url
        self._conversation_id = conversation_id

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=self._url, timeout=60) as client:
            tasks = [asyncio.create_task(self._call(client, it)) for it in range(CALLERS)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(it, asyncio.CancelledError) for it in ends), ends

    async def _call(self, client: httpx.AsyncClient, number: int) -> None:
        while True:
            body = message(f"{self._conversation_id}-{number}")
            headers = {"Authorization": f"Bearer {self.tokens[number]}"}
            answer = await client.post(ENHANCED, json=body, headers=headers)
            self.answers[answer.status_code] += 1

    async def go_on(self, count: int = 20) -> None:
        """Wait for so many further answers."""
        until = self.answers.total() + count

        async def went_on() -> bool:
            return self.answers.total() >= until

        await wait_for(went_on, 60, "callers are answered")


async def test_a_token_is_replaced_under_load_and_no_valid_one_is_refused(
    ingress: SecondIngress, tmp_path: Path, conversation_id: str
) -> None:
    callers = Callers(ingress.url, conversation_id)

    async def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=ingress.url, timeout=30) as client:
            return (await client.get("/api/v1/jobs/none", headers=headers)).status_code

    async def takes_second() -> bool:
        return await status(SECOND) != 401

    async def refuses_first() -> bool:
        return await status(FIRST) == 401

    async with callers.calling():
        await callers.go_on()
        assert await status(SECOND) == 401
        fixed = {"ADMIN_ACCESS_TOKEN": ADMIN_TOKEN, "PANCAKE_ACCESS_TOKEN": SECOND}
        write(tmp_path, **fixed, PANCAKE_ACCESS_TOKEN_PREVIOUS=FIRST)
        await wait_for(takes_second, 30)
        for number in range(CALLERS):
            await callers.go_on(5)
            callers.tokens[number] = SECOND
        await callers.go_on(5 * CALLERS)
        write(tmp_path, **fixed)
        await wait_for(refuses_first, 30)
        await callers.go_on()
    assert set(callers.answers) == {200}, callers.answers


@pytest.fixture
def own_env(server: Server) -> Iterator[Path]:
    """Return the folder of the shared stack's ``.env``, which it has not got at other times."""
    yield server.data_dir
    (server.data_dir / ".env").unlink(missing_ok=True)


async def test_up_takes_new_tokens_and_tells_who_finds_it(server: Server, own_env: Path) -> None:
    previous = f"previous-{uuid.uuid4().hex}"
    write(own_env, ADMIN_ACCESS_TOKEN_PREVIOUS=previous)
    async with server.client(previous) as client:

        async def is_taken() -> bool:
            return (await client.get(BOTS)).status_code == 200

        await wait_for(is_taken, 30)
        running = RunFile.read(server.data_dir)
        assert running is not None
        assert running.admin_access_token_previous == previous
        (own_env / ".env").unlink()

        async def is_refused() -> bool:
            return (await client.get(BOTS)).status_code == 401

        await wait_for(is_refused, 30)
    assert previous not in server.log.read_text()


async def test_an_action_of_an_administrator_is_in_the_log(
    server: Server, admin: httpx.AsyncClient
) -> None:
    request_id = f"request-{time.monotonic_ns()}"
    answer = await admin.delete(f"{BOTS}/unknown", headers={"X-Request-ID": request_id})
    assert answer.status_code == 404
    line = await server.logged(event="admin_action", request_id=request_id)
    assert (line["who"], line["outcome"]) == ("ADMIN_ACCESS_TOKEN", "refused")
    assert line["target"] == {"bot_id": "unknown"}
