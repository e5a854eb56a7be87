"""The guides do what they say: their commands are run against the shared stack, as they stand."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from storage.processes import wait_until
from tests.guides import ROOT, Command, commands, problems_of, told_of
from tests.stack.ask import recorded, say, start_turn
from tests.stack.bots import put_bot
from tests.stack.server import ADMIN_TOKEN, MESSAGES_TOKEN, Server, free_port, wait_for
from tests.stack.stubs import Stubs

SLOW_SECONDS = 2.0
"""As long as the simulated AI takes, which the guides are written with."""
LONGEST_COMMAND_SECONDS = 60
SECONDS_UNTIL_KNOWN = 5
"""A bot is, everywhere."""

PRELUDE = f"""
set -euo pipefail
chat-orchestrator() {{ {sys.executable} -m ingress.cli "$@"; }}
sleep() {{ command sleep {SECONDS_UNTIL_KNOWN}; }}  # on a machine that has much else to do
server="$SERVER_URL"
"""
"""What a guide's reader has done before."""


@pytest.fixture
def slow_ai(stubs: Stubs) -> Iterator[None]:
    stubs.slowdown_seconds = SLOW_SECONDS
    yield
    stubs.slowdown_seconds = 0.0


def environment_of(server: Server) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return kept | {
        "SERVER_URL": server.url,
        "DATA_DIR": str(server.data_dir),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "PANCAKE_ACCESS_TOKEN": MESSAGES_TOKEN,
        "ADMIN_ACCESS_TOKEN": ADMIN_TOKEN,
    }


def run_guide(
    guide: str, server: Server, place: Path, section: str = ""
) -> Iterator[tuple[Command, str]]:
    """Run the commands of a guide in one shell, as a reader does; yield each with its output."""
    found = commands(guide, section)
    outputs = [place / f"{number}.out" for number in range(len(found))]
    script = PRELUDE
    for command, output in zip(found, outputs, strict=True):
        script += f"{{\n{command.text}}} > {output}\n"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env=environment_of(server),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND_SECONDS * len(found),
        check=False,
    )
    ran = sum(it.exists() for it in outputs)
    assert done.returncode == 0, f"{guide}:{found[ran - 1].line}\n{done.stderr}"
    for command, output in zip(found, outputs, strict=True):
        yield command, output.read_text()


def check(guide: str, command: Command, output: str) -> None:
    where = f"{guide}:{command.line}"
    if command.output_kind == "json":
        printed = output.strip().splitlines()[-1]
        assert list(problems_of(json.loads(command.output), json.loads(printed))) == [], where
    elif command.output_kind == "text":
        assert told_of(output) == told_of(command.output), where


def test_the_commands_for_a_platform_do_what_the_guide_says(server: Server, tmp_path: Path) -> None:
    for command, output in run_guide("docs/WEBHOOK.md", server, tmp_path):
        check("docs/WEBHOOK.md", command, output)


@pytest.mark.soak  # it waits for a slow AI: 45 s
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("slow_ai")
def test_the_commands_about_bots_do_what_the_guide_says(server: Server, tmp_path: Path) -> None:
    answers = {}
    for command, output in run_guide("docs/BOTS.md", server, tmp_path):
        check("docs/BOTS.md", command, output)
        for bot in ("orders", "patient", "strict", "calm"):
            if f"--bot {bot}" in command.text:
                answers[bot] = sum(line.startswith("bot> ") for line in output.splitlines())
    assert answers == {"orders": 3, "patient": 1, "strict": 1, "calm": 1}


async def test_the_recipes_do_what_they_say(
    server: Server,
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    tmp_path: Path,
    stubs: Stubs,
) -> None:
    await put_bot(admin, "sales", name="Sales", context_messages=7)
    turn = await start_turn(client, stubs, "conv_12345")
    await recorded(admin, turn)

    def run() -> list[str]:
        return [it for _, it in run_guide("docs/OPERATING.md", server, tmp_path, "Recipes")]

    shown, freed, resumed, changed = await asyncio.to_thread(run)
    turn.finish()
    assert json.loads(shown)["running_job_id"] == turn.job_id
    assert json.loads(freed)["cancelled_job_id"] == turn.job_id
    assert json.loads(resumed)["success"] is True
    assert json.loads(changed).items() >= {"busy_policy": "queue", "context_messages": 7}.items()
    assert (await turn.caller)["reason"] == "cancelled"


@pytest.fixture
def example_url() -> Iterator[str]:
    """Return the address of the example, once it listens."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(ROOT / "examples/ai_service.py"), str(port)])
    assert wait_until(lambda: listens(port), 30)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


async def test_the_example_of_an_ai_service_answers(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, conversation_id: str, example_url: str
) -> None:
    bot_id = f"example-{conversation_id}"
    await put_bot(admin, bot_id, name="Example", ai_core={"url": example_url})
    texts: list[str] = []

    async def is_known() -> bool:
        result = await say(client, conversation_id, "Xin chào", metadata={"bot_id": bot_id})
        texts.append(result["ai_response"]["response_text"])
        return bool(result["ai_response"]["model_used"] == "example")

    await wait_for(is_known, what="the bot is known")
    assert texts[-1] == "Example has read: Xin chào"


def test_the_example_is_the_one_that_the_guide_shows() -> None:
    example = (ROOT / "examples/ai_service.py").read_text()
    _, _, code = example.partition('"""\n\n')
    assert code in (ROOT / "docs/AI_SERVICE.md").read_text()
