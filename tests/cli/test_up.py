"""`chat-orchestrator up` as a process: what it starts, leaves, says, and stops."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from ingress.run_file import RunFile, join_running
from storage.embedded import DataFolder, EmbeddedServers, is_in_use
from storage.processes import free_port, wait_until
from storage.settings import Settings, load_settings

REPOSITORY = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("up_with_a_pretended_cluster.py")
START_SECONDS = 40


class Up:
    """A running command, and what it has printed."""

    running: ClassVar[list[subprocess.Popen[str]]] = []
    """All that this test has started: what a failure leaves running is ended after it."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        names = {name.upper() for name in Settings.model_fields} | {"RAY_AUTH_TOKEN"}
        clean = {name: value for name, value in os.environ.items() if name not in names}
        self.port = free_port()
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *(arguments or ("up", "--port", str(self.port)))],
            cwd=data_dir,
            env=clean
            | {"PYTHONPATH": str(REPOSITORY), "DATA_DIR": str(data_dir), "RATE_LIMIT": "off"}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        Up.running.append(self.process)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str) -> None:
        found = wait_until(
            lambda: text in self.output or self.process.poll() is not None, START_SECONDS
        )
        if not found or text not in self.output:
            self.process.kill()
            self.end()
            pytest.fail(f"{text!r} was not said:\n{self.output}")

    def end(self) -> int:
        code = self.process.wait(START_SECONDS)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="up-"))
    place.chmod(0o755)
    yield place
    for started in Up.running:
        started.kill()
        started.wait(START_SECONDS)
    Up.running.clear()
    EmbeddedServers(place, with_postgres=False, with_valkey=False).stop()
    shutil.rmtree(place)


def server_ids(data_dir: Path) -> list[int | None]:
    servers = EmbeddedServers(data_dir, with_postgres=True, with_valkey=True)
    return [servers._postgres.pid, servers._valkey.pid]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_leaves_word_and_stops_all_it_started(
    data_dir: Path, number: signal.Signals
) -> None:
    up = Up(data_dir)
    up.wait_for("Ctrl-C stops everything")
    assert httpx.get(f"{up.url}/health").text == "ok"
    assert all(server_ids(data_dir))
    run_file = data_dir / "run" / "cluster.json"
    assert stat.S_IMODE(run_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((data_dir / "ray").stat().st_mode) == 0o700
    environment: dict[str, str] = {}
    joined = join_running(load_settings(data_dir=data_dir), environment)
    assert joined.ray_address == "pretended:1"
    assert environment == {"RAY_AUTH_TOKEN": "ray-token"}
    assert joined.pancake_access_token is not None
    assert joined.pancake_access_token.get_secret_value() in up.output
    assert joined.postgres_dsn is not None
    assert joined.redis_dsn is not None
    assert joined.redis_dsn not in up.output
    assert "export RAY_AUTH_TOKEN=ray-token" in up.output

    up.process.send_signal(number)
    assert up.end() == 0, up.output
    assert re.findall("gateway closed|actors stopped|cluster left|Stopped", up.output) == [
        "gateway closed",
        "actors stopped",
        "cluster left",
        "Stopped",
    ]
    assert server_ids(data_dir) == [None, None]
    assert not run_file.exists()
    assert not is_in_use(data_dir)
    unchanged = load_settings(data_dir=data_dir)
    assert join_running(unchanged, environment) == unchanged


def test_requests_under_way_are_answered_at_a_stop(data_dir: Path) -> None:
    up = Up(data_dir, "up", "--no-redis", "--port", str(port := free_port()))
    up.wait_for("Ctrl-C stops everything")
    assert server_ids(data_dir)[1] is None
    assert "Redis          none" in up.output
    answers: list[str] = []
    url = f"http://127.0.0.1:{port}/slow"
    asking = threading.Thread(target=lambda: answers.append(httpx.get(url).text))
    asking.start()
    up.wait_for("slow request")
    up.process.send_signal(signal.SIGTERM)
    assert up.end() == 0, up.output
    asking.join()
    assert answers == ["done"]


def test_a_port_in_use_is_said_before_anything_starts(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = Up(data_dir, "up", "--port", str(port))
        assert up.end() == 1

    assert f"port {port}" in up.output
    assert "--port or API_PORT" in up.output
    assert list(data_dir.iterdir()) == []


def test_a_second_start_on_the_same_data_is_refused_and_harms_nothing(data_dir: Path) -> None:
    first = Up(data_dir)
    first.wait_for("Ctrl-C stops everything")
    before = server_ids(data_dir)
    second = Up(data_dir)
    assert second.end() == 1
    assert f"another start (process {first.process.pid})" in second.output
    assert server_ids(data_dir) == before
    assert RunFile.read(data_dir) is not None
    first.process.send_signal(signal.SIGINT)
    assert first.end() == 0


def test_a_killed_start_leaves_nothing_that_stops_the_next(data_dir: Path) -> None:
    killed = Up(data_dir)
    killed.wait_for("Ctrl-C stops everything")
    killed.process.kill()
    killed.end()
    assert all(server_ids(data_dir))
    assert RunFile.read(data_dir) is None

    up = Up(data_dir)
    up.wait_for("Ctrl-C stops everything")
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 0
    assert server_ids(data_dir) == [None, None]


def test_a_failed_start_stops_what_was_started(data_dir: Path) -> None:
    up = Up(data_dir, FAIL_AT="deploy")
    assert up.end() == 1
    assert "the actors do not serve" in up.output
    assert "Traceback" not in up.output
    assert "actors stopped" in up.output
    assert server_ids(data_dir) == [None, None]


def test_an_embedded_server_that_dies_comes_back_under_its_address(data_dir: Path) -> None:
    up = Up(data_dir)
    up.wait_for("Ctrl-C stops everything")
    before = RunFile.read(data_dir)
    for process_id in server_ids(data_dir):
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
    up.wait_for("EmbeddedPostgres")
    up.wait_for("EmbeddedValkey")
    assert wait_until(lambda: all(server_ids(data_dir)), 20)
    assert RunFile.read(data_dir) == before
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 0


def test_wrong_settings_are_named_and_misuse_has_its_own_code(data_dir: Path) -> None:
    up = Up(data_dir, RATE_LIMIT="fast", AI_MAX_ATTEMPTS="many")
    assert up.end() == 2
    assert "RATE_LIMIT: " in up.output
    assert "AI_MAX_ATTEMPTS: " in up.output
    assert "Traceback" not in up.output


def test_production_without_tokens_does_not_start(data_dir: Path) -> None:
    up = Up(data_dir, ENVIRONMENT="production")
    assert up.end() == 2
    assert "PANCAKE_ACCESS_TOKEN: must be set in production" in up.output


def test_a_database_that_cannot_be_reached_is_said_plainly(data_dir: Path) -> None:
    up = Up(data_dir, DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{free_port()}/d")
    assert up.end() == 1
    assert "the database cannot be migrated" in up.output
    assert "hidden" not in up.output
    assert "Traceback" not in up.output


def test_migrate_without_its_database_is_said_plainly(data_dir: Path) -> None:
    up = Up(data_dir, "migrate", DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{free_port()}/d")
    assert up.end() == 1
    assert "the database cannot be migrated" in up.output
    assert "hidden" not in up.output
    assert "Traceback" not in up.output


@pytest.mark.parametrize("command", ["status", "migrate"])
def test_with_nothing_running_the_other_commands_say_what_to_do(
    data_dir: Path, command: str
) -> None:
    up = Up(data_dir, command)
    assert up.end() == 1
    assert "chat-orchestrator up" in up.output or "DATABASE_URL" in up.output
    assert "Traceback" not in up.output


def test_migrate_finds_the_running_start(data_dir: Path) -> None:
    up = Up(data_dir)
    up.wait_for("Ctrl-C stops everything")
    migrate = Up(data_dir, "migrate")
    assert migrate.end() == 0, migrate.output
    assert "newest version" in migrate.output
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 0


def test_a_run_file_without_its_start_is_not_believed(data_dir: Path) -> None:
    folder = DataFolder(data_dir)
    RunFile.of(load_settings(database_url="postgresql://h/d"), "http://h", {}).write(data_dir)
    assert RunFile.read(data_dir) is not None
    folder.close()
    assert RunFile.read(data_dir) is None
