"""The process of ``writer_process``: ``python -m benchmarks.parts.writer_server SOCKET URL``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from actors.ports import PeerUnavailable
from benchmarks.parts.lone_host import run_in_loop
from benchmarks.parts.writer_process import receive, send
from storage.writer import StorageWriter


async def _serve(path: Path, database_url: str) -> None:
    storage = StorageWriter(database_url)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                batch = await receive(reader)
            except PeerUnavailable:
                writer.close()
                return
            await send(writer, await storage.execute(batch))

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    run_in_loop(_serve(Path(sys.argv[1]), sys.argv[2]))
