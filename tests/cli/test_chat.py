"""`chat-orchestrator chat` as a command: how it ends, and with which code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingress.cli import app
from storage.processes import free_port
from storage.settings import Settings
from tests.unit.terminal_server import JOB_1, TOKEN, TerminalServer, answered


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {it.upper() for it in Settings.model_fields} & os.environ.keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no .env


@pytest.fixture
async def server() -> AsyncIterator[TerminalServer]:
    async with TerminalServer.serving() as serving:
        yield serving


def chat(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["chat", *arguments], input=typed)


def test_without_a_server_it_says_how_to_start_one() -> None:
    result = chat(typed="Hello\n")

    assert result.exit_code == 1
    assert "start one with `chat-orchestrator up`" in result.output


def test_an_address_where_nobody_listens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANCAKE_ACCESS_TOKEN", TOKEN)
    url = f"http://127.0.0.1:{free_port()}"
    result = chat("--url", url, typed="Hello\n")

    assert result.exit_code == 1
    assert f"no server answers at {url}" in result.output


async def test_it_ends_with_the_last_line_and_says_how_to_go_on(
    server: TerminalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_ACCESS_TOKEN", TOKEN)
    server.answers = [{"status": "completed", "job_id": JOB_1, **answered("Good day")}]

    result = await asyncio.to_thread(
        chat, "--url", server.url, "--conversation", "it's mine", typed="Hello\n"
    )

    assert result.exit_code == 0, result.output
    assert "bot> Good day" in result.output
    assert "chat-orchestrator chat --conversation 'it'\"'\"'s mine'" in result.output
