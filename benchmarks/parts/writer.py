"""Rows per second through the writer, against raw batched inserts and against row by row."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from benchmarks.parts.raw_writes import (
    accept_raw,
    accept_row_by_row,
    commit_raw,
    lock_milliseconds,
)
from benchmarks.parts.servers import Servers, fresh_database, started_servers
from benchmarks.parts.speed import Speed
from benchmarks.parts.writer_rows import BATCH
from benchmarks.parts.writer_ways import accept_by_writer, commit_by_writer
from benchmarks.result import Outcome, Result, Table
from benchmarks.run import Run

__all__ = ["measure_writer"]

ACCEPT = "accept, writer"
RAW_ACCEPT = "accept, raw unnest"
COMMIT = "commit of a turn, writer"
RAW_COMMIT = "commit of a turn, raw unnest"
ALONE = "accept, row by row"
WAYS: dict[str, Callable[[Servers, str], Awaitable[Speed]]] = {
    RAW_ACCEPT: accept_raw,
    ACCEPT: accept_by_writer,
    RAW_COMMIT: commit_raw,
    COMMIT: commit_by_writer,
    ALONE: accept_row_by_row,
}


def measure_writer(run: Run) -> Outcome:
    """Measure each way in turn, so many times, each time in an empty database."""
    with started_servers(run.folder("writer")) as servers:
        runs = asyncio.run(_measure(servers, run.rounds))
        through_ray = asyncio.run(_through_ray(servers, run.folder("ray")))
        lock_ms = asyncio.run(_lock_milliseconds(servers))
    speeds = {name: [it.rows_per_second for it in own] for name, own in runs.items()}
    rows: list[tuple[str | float, ...]] = [
        (
            name,
            median(speeds[name]),
            median(it.server_us for it in own),
            median(it.client_us for it in own),
        )
        for name, own in runs.items()
    ]
    rows.append(("accept, writer as a Ray actor", through_ray, "", ""))
    columns = ("way", "messages a second", "PostgreSQL, µs a message", "client, µs a message")
    note = (
        f"Batches of {BATCH}, one under way while the next one waits. The raw way is one "
        "statement. The locks that keep the order of acceptance between clusters take "
        f"{lock_ms:.2f} ms of a batch of {BATCH}, which takes "
        f"{BATCH / median(speeds[ACCEPT]) * 1000:.0f} ms."
    )
    return Outcome(
        results=[
            _ratio("accepting: writer / raw unnest", speeds, ACCEPT, RAW_ACCEPT, 0.6),
            _ratio("committing turns: writer / raw unnest", speeds, COMMIT, RAW_COMMIT, 0.6),
            _ratio("accepting: writer / row by row", speeds, ACCEPT, ALONE, 10.0),
        ],
        tables=[Table("Rows through the writer", columns, rows, note)],
    )


def _ratio(
    name: str, speeds: dict[str, list[float]], ours: str, theirs: str, least: float
) -> Result:
    ratios = [own / other for own, other in zip(speeds[ours], speeds[theirs], strict=True)]
    return Result(name, median(ratios), "×", low=min(ratios), high=max(ratios), least=least)


async def _measure(servers: Servers, rounds: int) -> dict[str, list[Speed]]:
    runs: dict[str, list[Speed]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            async with fresh_database(servers) as url:
                runs[name].append(await way(servers, url))
    return runs


async def _through_ray(servers: Servers, folder: Path) -> float:
    async with fresh_database(servers) as url:
        command = (sys.executable, "-m", "benchmarks.parts.ray_writer", url, str(folder))
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        return float(output.splitlines()[-1])


async def _lock_milliseconds(servers: Servers) -> float:
    async with fresh_database(servers) as url:
        return await lock_milliseconds(url)
