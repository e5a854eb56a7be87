"""A whole running product: ``chat-orchestrator up`` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Self

import httpx
import orjson

__all__ = ["ADMIN_TOKEN", "MESSAGES_TOKEN", "Server", "free_port", "wait_for"]

MESSAGES_TOKEN = "messages-token-for-tests-only-0001"
ADMIN_TOKEN = "admin-token-for-tests-only-000001"
START_SECONDS = 120
STOP_SECONDS = 60


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def wait_for(condition: Any, timeout_seconds: float = 20.0, what: str = "") -> Any:
    """Return the first true value of ``await condition()``; fail when the time is over."""
    end = time.monotonic() + timeout_seconds
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {timeout_seconds} s: {what or condition}")
        await asyncio.sleep(0.05)


class Server:
    """One start of the product on a free port. Settings are environment variables."""

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"server-{uuid.uuid4().hex[:6]}.log"
        self.command = [sys.executable, "-m", "ingress.cli", "up", *arguments]
        # Ray's sockets need a short path.
        self.data_dir = Path(tempfile.mkdtemp(prefix="co-"))
        if os.geteuid() == 0:
            self.data_dir.chmod(0o711)  # PostgreSQL runs as another user
        self.environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")},
            "API_PORT": str(self.port),
            "API_HOST": "127.0.0.1",
            "DATA_DIR": str(self.data_dir),
            "PANCAKE_ACCESS_TOKEN": MESSAGES_TOKEN,
            "ADMIN_ACCESS_TOKEN": ADMIN_TOKEN,
            "LOG_LEVEL": "INFO",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it takes requests."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.data_dir,  # not the checkout: its .env is somebody's own
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log_end()}")
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{self.log_end()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; return its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """Stop it if it runs, however it takes that, and remove its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def close(self) -> None:
        """Stop it, check that it stopped as it should, and remove its data."""
        code = self.stop()
        assert code == 0, f"it ended with {code}:\n{self.log_end()}"
        shutil.rmtree(self.data_dir)

    async def logged(self, **fields: Any) -> dict[str, Any]:
        """Return the line of its log that has these ``fields``: written once an answer is out."""

        async def lines() -> list[dict[str, Any]]:
            written = self.log.read_bytes().splitlines(keepends=True)
            whole = [orjson.loads(it) for it in written if it[:1] == b"{" and it[-1:] == b"\n"]
            return [it for it in whole if fields.items() <= it.items()]

        (line,) = await wait_for(lines, what=f"a line with {fields}")
        found: dict[str, Any] = line
        return found

    def log_end(self, size: int = 4000) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-size:]

    def client(self, token: str = MESSAGES_TOKEN, timeout_seconds: float = 60) -> httpx.AsyncClient:
        """Return a client that sends a token."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=500),
        )
