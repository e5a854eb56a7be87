from __future__ import annotations

import subprocess
import sys

import orjson

PROGRAM = """
import logging, structlog
from storage.log_config import configure_logging
configure_logging("INFO")
log = structlog.get_logger("x")
structlog.contextvars.bind_contextvars(request_id="r-1")
log.debug("hidden")
log.info("shown", count=1)
logging.getLogger("library").warning("said %s", "so")
try:
    secret = "a local variable"
    raise ValueError("a problem")
except ValueError:
    log.exception("failed")
"""


DEBUGGING = """
import logging
from storage.log_config import configure_logging
configure_logging("DEBUG")
from sse_starlette.sse import logger
logger.debug("what people are told")
logging.getLogger("library").debug("shown")
"""


AUDITING = """
import structlog
from storage.log_config import configure_logging
configure_logging("CRITICAL")
from ingress.audit import AuditEntry, audited
structlog.contextvars.bind_contextvars(request_id="r-1")
structlog.get_logger("x").error("hidden")
with audited(AuditEntry("DELETE /bots/{bot_id}", {"bot_id": "b"}, who="jwt:alice")):
    pass
"""


def test_the_audit_log_is_written_whatever_the_level_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUDITING], capture_output=True, check=True, timeout=60
    )
    (line,) = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert line.pop("timestamp")
    assert line == {
        "event": "admin_action",
        "level": "info",
        "request_id": "r-1",
        "who": "jwt:alice",
        "action": "DELETE /bots/{bot_id}",
        "target": {"bot_id": "b"},
        "query": {},
        "outcome": "done",
    }


def test_what_is_sent_to_listeners_is_not_logged_even_when_debugging() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEBUGGING], capture_output=True, check=True, timeout=60
    )
    assert [orjson.loads(line)["event"] for line in done.stdout.splitlines()] == ["shown"]


def test_every_line_is_json_with_the_request_id_and_no_local_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=30
    )
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["shown", "said so", "failed"]
    assert {line["request_id"] for line in lines} == {"r-1"}
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert "logger" in lines[1]
    assert lines[2]["exception"][0]["exc_type"] == "ValueError"
    assert b"a local variable" not in done.stdout
