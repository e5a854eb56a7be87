"""The product, started as its users start it: ``chat-orchestrator up``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.endpoint import MESSAGE_PATH, Endpoint
from benchmarks.processor_time import processes_of, processor_seconds
from benchmarks.programs import program
from benchmarks.run import Run
from ingress.run_file import RunFile
from storage.processes import free_port

__all__ = ["Product", "product"]

MESSAGES_TOKEN = "messages-token-of-the-benchmarks-1"  # noqa: S105 - lives as long as a run
ADMIN_TOKEN = "admin-token-of-the-benchmarks-0001"  # noqa: S105


@dataclass(frozen=True)
class Product:
    """A running start."""

    endpoint: Endpoint
    process: psutil.Process
    data: Path

    def processor_seconds(self) -> dict[str, float]:
        """Return what each of its parts has used since it started."""
        return processor_seconds(self.process, self.data)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have all of its processes stand still until the block ends: they take nothing then."""
        standing = list(processes_of(self.process, self.data))
        try:
            for process in standing:
                process.suspend()
            yield
        finally:
            for process in reversed(standing):
                process.resume()

    @property
    def addresses(self) -> RunFile:
        """Where its database and its Redis are."""
        found = RunFile.read(self.data)
        if found is None:
            raise RuntimeError("the product does not run")
        return found


@contextmanager
def product(
    run: Run,
    ai_url: str,
    platform_url: str,
    settings: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> Iterator[Product]:
    """Run it until the block ends, with its data in ``data`` (None: an empty folder).

    Nothing is set beside addresses, tokens and limits that a measurement would run into.
    """
    port = free_port()
    data = data or run.folder("data")
    url = f"http://127.0.0.1:{port}"
    environment = {
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "DATA_DIR": str(data),
        "PANCAKE_ACCESS_TOKEN": MESSAGES_TOKEN,
        "ADMIN_ACCESS_TOKEN": ADMIN_TOKEN,
        "AI_SERVICE_URL": ai_url,
        "PANCAKE_BASE_URL": platform_url,
        "RATE_LIMIT": "off",
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
        **run.settings,
    }
    endpoint = Endpoint("product", url + MESSAGE_PATH, MESSAGES_TOKEN)
    with program(
        "ingress.cli",
        "up",
        ready_url=f"{url}/health",
        log=data / "up.log",
        settings=environment,
    ) as process:
        yield Product(endpoint, process, data)
