"""A further ingress: ``uvicorn ingress.app:app`` beside a running ``up``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import httpx

from tests.stack.server import Server, free_port, wait_for

__all__ = ["SecondIngress", "environment_of"]

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def environment_of(server: Server) -> dict[str, str]:
    """Return an environment that names the data folder, and nothing else of the product."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "DATA_DIR": str(server.data_dir),
        "PYTHONPATH": str(REPOSITORY),
        "RATE_LIMIT": "off",
    }


class SecondIngress:
    """One that can be started again on its port, after ``stop`` or after it was killed.

    ``arguments`` are for uvicorn; ``environment`` comes on top of what leads to the server.
    """

    def __init__(
        self,
        server: Server,
        directory: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._log = directory / f"uvicorn-{port}.log"
        self._arguments = [
            *(sys.executable, "-m", "uvicorn", "ingress.app:app", "--port", str(port)),
            *arguments,
        ]
        self._environment = environment_of(server) | (environment or {})

    async def start(self) -> Self:
        """Start it and wait until it takes requests."""
        with self._log.open("ab") as output:
            process = self.process = subprocess.Popen(  # noqa: ASYNC220 -- a moment
                self._arguments,
                cwd=self._directory,  # not the checkout: its .env is somebody's own
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        async with httpx.AsyncClient(timeout=5) as client:

            async def serves() -> bool:
                assert process.poll() is None, self._log.read_text()
                try:
                    return (await client.get(f"{self.url}/health")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_for(serves, START_SECONDS, "uvicorn serves")
        return self

    async def stop(self) -> None:
        """Ask it to stop, if it runs, and check that it stopped as it should."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        code = await self.ended()
        # Uvicorn ends by the signal that it was sent, once all is closed; its supervisor by 0.
        assert code in (0, -signal.SIGTERM), self._log.read_text()[-4000:]
        assert "Traceback" not in self._log.read_text(), self._log.read_text()[-4000:]

    async def ended(self) -> int:
        """Wait until it has ended by itself, or was killed; return its exit code."""
        assert self.process is not None
        code = await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        self.process = None
        return code
