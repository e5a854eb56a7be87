"""Real servers for tests: from the wheels, or Debian's when ``TEST_SERVERS=debian``."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_valkey import EmbeddedValkey

DEBIAN = os.environ.get("TEST_SERVERS") == "debian"
DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
DEBIAN_REDIS = Path("/usr/bin/redis-server")


class PostgresServer(EmbeddedPostgres):
    """A server for tests, which may remove its data when it is done."""

    def __init__(self, directory: Path) -> None:
        self._place: Path | None = None
        data = directory / "postgres"
        if os.geteuid() == 0:
            # pytest's folders are closed to everybody but root, and PostgreSQL runs as another.
            self._place = Path(tempfile.mkdtemp(prefix="postgres-"))
            self._place.chmod(0o711)
            data = self._place / "data"
        super().__init__(
            data,
            binaries=DEBIAN_POSTGRES if DEBIAN else None,
            log=directory / "postgres.log",
        )

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._place or self.directory)


class RedisServer(EmbeddedValkey):
    """A server for tests; ``start`` after ``stop`` or ``kill`` brings it back empty."""

    def __init__(self, directory: Path, port: int | None = None, extra: str = "") -> None:
        super().__init__(
            directory / "redis", port=port, program=DEBIAN_REDIS if DEBIAN else None, megabytes=64
        )
        self._extra = extra

    def _write_configuration(self) -> Path:
        path = super()._write_configuration()
        path.write_text(f"{path.read_text()}{self._extra}\n")
        return path


def start_postgres(directory: Path) -> PostgresServer:
    """Start PostgreSQL with its data in (or, for root, beside) ``directory``."""
    server = PostgresServer(directory)
    server.start()
    return server


def start_redis(directory: Path, port: int | None = None, extra: str = "") -> RedisServer:
    """Start Redis or Valkey; the same object starts again on the same port.

    ``extra`` are further lines of its configuration file.
    """
    server = RedisServer(directory, port, extra)
    server.start()
    return server
