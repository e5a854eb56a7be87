"""Schemathesis, with all of its checks, over every operation of a server of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.server import ADMIN_TOKEN, Server

CASES = 2_000
EXAMPLES_AN_OPERATION = 90
"""By which there are more than ``CASES``."""
LONGEST_SECONDS = 480
ENDLESS = "/api/v1/admin/events"

pytestmark = pytest.mark.timeout(600)


def run(server: Server, described: dict[str, Any], directory: Path) -> tuple[dict[str, Any], str]:
    """Return the report of a run that is the same each time, and what it printed."""
    report, schema = directory / "report.json", directory / "schema.json"
    schema.write_text(json.dumps(described))  # one that it reads by itself it does not test
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(schema)),
            *("--url", server.url),
            *("--checks", "all", "--header", f"Authorization: Bearer {ADMIN_TOKEN}"),
            *("--max-examples", str(EXAMPLES_AN_OPERATION), "--generation-deterministic"),
            # It goes on for ten minutes; what it sends is what `overview`, next to it, answers.
            *("--exclude-path", ENDLESS),
            # What no schema can say, and the API refuses.
            *("--generation-allow-x00", "false"),
            *("--request-timeout", "60", "--no-color", "--continue-on-failure"),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    assert report.exists(), output
    found: dict[str, Any] = json.loads(report.read_text())
    return found, output


def test_it_finds_nothing_in_two_thousand_cases_over_every_operation(tmp_path: Path) -> None:
    server = Server(
        tmp_path, SIMULATED_AI_SECONDS="0", RATE_LIMIT="off", CONVERSATION_HOSTS="1"
    ).start()
    try:
        described = httpx.get(f"{server.url}/openapi.json").json()
        report, output = run(server, described, tmp_path)
        health = httpx.get(f"{server.url}/health").json()
        log = server.log.read_text(errors="replace")
    finally:
        server.end()
    assert report["exit_code"] == 0, output[-20_000:]
    assert report["failures"] == report["errors"] == []
    operations = sum(len(it) for path, it in described["paths"].items() if path != ENDLESS)
    assert report["operations"]["tested"] == operations
    assert report["test_cases"]["generated"] >= CASES
    assert {it["status"] for it in report["phases"].values()} == {"success"}
    assert health == {"status": "healthy"}
    assert "unexpected_error" not in log
