"""The data folder of one start, and the servers that run on it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_valkey import EmbeddedValkey
from storage.processes import ServerFailed, wait_until

__all__ = ["AlreadyRunning", "DataFolder", "EmbeddedServers", "is_in_use"]

LOCK_SECONDS = 1.0
"""Others look at the lock for a moment, to see whether it is held."""


class AlreadyRunning(RuntimeError):
    """Another process uses the data folder; the text is for a person."""


class DataFolder:
    """The right to use a folder, held until ``close`` or the end of the process, however it ends.

    Raises ``AlreadyRunning`` while another process holds it, and ``ServerFailed`` where the
    folder cannot be used at all.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = _lock_file(directory)
        try:
            _make_enterable(directory)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file: TextIO = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ServerFailed(f"the data folder cannot be used: {error}") from None
        if not wait_until(lambda: _try_lock(self._file, fcntl.LOCK_EX), LOCK_SECONDS):
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise AlreadyRunning(
                f"another start (process {holder}) uses {directory}; "
                "stop it, or name another folder with DATA_DIR"
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def close(self) -> None:
        """Let others use the folder."""
        self._file.close()


def is_in_use(directory: Path) -> bool:
    """Whether a process holds the ``DataFolder`` of this directory (as far as we may look)."""
    try:
        with _lock_file(directory).open(encoding="utf-8") as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except (FileNotFoundError, PermissionError):
        return False


class EmbeddedServers:
    """PostgreSQL and Valkey for one start; either may be left out. All methods block.

    Hold the ``DataFolder`` of the directory. What a killed start left running is replaced.
    """

    def __init__(self, directory: Path, *, with_postgres: bool, with_valkey: bool) -> None:
        logs = directory / "log"
        self._postgres = EmbeddedPostgres(directory / "postgres", log=logs / "postgres.log")
        self._valkey = EmbeddedValkey(directory / "valkey", log=logs / "valkey.log")
        self._wanted: list[EmbeddedPostgres | EmbeddedValkey] = []
        if with_postgres:
            self._wanted.append(self._postgres)
        if with_valkey:
            self._wanted.append(self._valkey)

    @property
    def database_url(self) -> str | None:
        """Where PostgreSQL is, if it was wanted."""
        return self._postgres.url if self._postgres in self._wanted else None

    @property
    def redis_url(self) -> str | None:
        """Where Valkey is (holds its password), if it was wanted."""
        return self._valkey.url if self._valkey in self._wanted else None

    def start(self) -> None:
        """Start what is wanted and stop what is left over. Raises ``ServerFailed``."""
        try:
            for server in (self._postgres, self._valkey):
                if server in self._wanted:
                    server.start()
                else:
                    server.stop()
        except BaseException:
            self.stop()
            raise

    def restart_fallen(self) -> list[str]:
        """Start again, under the same address, what has died; return the names."""
        fallen = [server for server in self._wanted if server.pid is None]
        for server in fallen:
            server.start()
        return [type(server).__name__ for server in fallen]

    def stop(self) -> None:
        """Stop both; their data stays. Raises ``ServerFailed`` if one does not stop."""
        self._valkey.stop()
        self._postgres.stop()


def _lock_file(directory: Path) -> Path:
    return directory / "run" / "lock"


def _make_enterable(directory: Path) -> None:
    """Make the folder, so that PostgreSQL's own user can enter it whatever root's umask is."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for folder in missing:
            folder.chmod(0o755)


def _try_lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
