"""A storage writer in a process of its own, spoken to over a Unix socket as hosts do over Ray."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.ports import PeerUnavailable

__all__ = ["WriterConnection", "receive", "send", "writer_process"]

START_SECONDS = 20.0


@contextmanager
def writer_process(folder: Path, database_url: str) -> Iterator[Path]:
    """Start the process, and give the socket that it listens to."""
    path = folder / "writer"
    command = [sys.executable, "-m", "benchmarks.parts.writer_server", str(path), database_url]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield path
    finally:
        process.terminate()
        process.wait()


class WriterConnection:
    """The way to that process: any number of calls at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def execute(self, batch: bytes) -> bytes:
        """See ``StorageWriter.execute``."""
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        await send(writer, batch)
        answer = await receive(reader)
        self._idle.append((reader, writer))
        return answer

    async def ping(self) -> bool:
        """Whether the database answers: it does."""
        return True

    async def counted(self) -> bytes:
        """What its metrics hold: nothing asks for it here."""
        return b""

    def close(self) -> None:
        """Disconnect."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    return await asyncio.open_unix_connection(self._path)
                except OSError:
                    await asyncio.sleep(0.05)  # it is starting


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a text, its length first."""
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> bytes:
    """Return what was sent. Raises ``PeerUnavailable`` at the end of the connection."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise PeerUnavailable("the writer's process has ended") from error
