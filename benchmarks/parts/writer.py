"""Rows per second through the writer, against raw batched inserts and against row by row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.parts.processor_time import processor_seconds
from benchmarks.parts.raw_sql import ACCEPT_BATCH, ACCEPT_ROW, COMMIT_BATCH
from benchmarks.parts.servers import Servers, fresh_database, started_servers
from benchmarks.parts.writer_rows import claims_of, commits_of, messages
from benchmarks.result import Outcome, Result, Table
from benchmarks.run import Run
from storage.claim_records import Claim, ClaimOutcome
from storage.codec import Operation, decode_results, encode_batch
from storage.postgres import Database
from storage.records import Accepted, AcceptOutcome, FencedOutcome, NewMessage
from storage.writer import StorageWriter

__all__ = ["measure_writer"]

BATCH = 500
CONVERSATIONS = 2_000
MESSAGES = 20_000
COMMITS = 10_000
ROWS_ALONE = 1_500


@dataclass(slots=True)
class _Speed:
    """How fast one way was, once; processor time in microseconds a row."""

    rows_per_second: float
    server_us: float
    client_us: float


class _Clock:
    """Times one way of writing."""

    def __init__(self, servers: Servers) -> None:
        self._pid = servers.postgres.pid or 0

    async def run(self, rows: int, work: Callable[[], Awaitable[None]]) -> _Speed:
        server, client = processor_seconds(self._pid), time.process_time()
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        return _Speed(
            rows / seconds,
            (processor_seconds(self._pid) - server) / rows * 1e6,
            (time.process_time() - client) / rows * 1e6,
        )


def measure_writer(run: Run) -> Outcome:
    """Measure each way in turn, so many times, each time in an empty database."""
    with started_servers(run.folder("writer")) as servers:
        runs = asyncio.run(_measure(servers, run.rounds))
    speeds = {name: [it.rows_per_second for it in own] for name, own in runs.items()}
    rows = [
        (
            name,
            median(speeds[name]),
            median(it.server_us for it in own),
            median(it.client_us for it in own),
        )
        for name, own in runs.items()
    ]
    columns = ("way", "messages a second", "PostgreSQL, µs a message", "client, µs a message")
    note = (
        f"Batches of {BATCH}, one under way while the next one waits. The raw way is one statement."
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


async def _measure(servers: Servers, rounds: int) -> dict[str, list[_Speed]]:
    runs: dict[str, list[_Speed]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            async with fresh_database(servers) as url:
                runs[name].append(await way(servers, url))
    return runs


async def _connect(url: str) -> Database:
    return await Database.connect(url, max_connections=1, keys_only=True)


def _columns(batch: list[NewMessage]) -> list[list[object]]:
    return [
        [it.conversation_id for it in batch],
        [it.message_id for it in batch],
        [it.job_id for it in batch],
        [it.sender_id for it in batch],
        [it.sender_type for it in batch],
        [it.content for it in batch],
        [it.timestamp for it in batch],
        [it.bot_id for it in batch],
    ]


def _batches(rows: list[NewMessage]) -> list[list[NewMessage]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


async def _raw_accepts(servers: Servers, url: str) -> _Speed:
    database = await _connect(url)

    async def work(batches: list[list[NewMessage]]) -> None:
        for batch in batches:
            await database.fetch(ACCEPT_BATCH, *_columns(batch))

    await work(_batches(messages(BATCH, CONVERSATIONS)))
    batches = _batches(messages(MESSAGES, CONVERSATIONS, BATCH))
    run = await _Clock(servers).run(MESSAGES, lambda: work(batches))
    await database.close()
    return run


async def _accepts_row_by_row(servers: Servers, url: str) -> _Speed:
    database = await _connect(url)

    async def work(rows: list[NewMessage]) -> None:
        for row in rows:
            async with database.transaction() as session:
                for sql, names in ACCEPT_ROW:
                    await session.fetch(sql, *(getattr(row, name) for name in names))

    await work(messages(10, CONVERSATIONS))
    rows = messages(ROWS_ALONE, CONVERSATIONS, BATCH)
    run = await _Clock(servers).run(ROWS_ALONE, lambda: work(rows))
    await database.close()
    return run


async def _write(writer: StorageWriter, batches: list[bytes]) -> list[bytes]:
    """Have batches written, one waiting while one is under way."""
    answers: list[bytes] = [b""] * len(batches)
    places = iter(range(len(batches)))

    async def caller() -> None:
        for place in places:
            answers[place] = await writer.execute(batches[place])

    await asyncio.gather(caller(), caller())
    return answers


def _encoded(operations: list[Operation]) -> list[bytes]:
    return [
        encode_batch(operations[start : start + BATCH])
        for start in range(0, len(operations), BATCH)
    ]


async def _writer_accepts(servers: Servers, url: str) -> _Speed:
    writer = StorageWriter(url)
    await _write(writer, _encoded([*messages(BATCH, CONVERSATIONS)]))
    batches = _encoded([*messages(MESSAGES, CONVERSATIONS, BATCH)])
    answers: list[bytes] = []

    async def work() -> None:
        answers.extend(await _write(writer, batches))

    run = await _Clock(servers).run(MESSAGES, work)
    for answer in answers:
        for result in decode_results(answer):
            if not isinstance(result, Accepted) or result.outcome is not AcceptOutcome.ACCEPTED:
                raise RuntimeError(f"not accepted: {result}")
    await writer.close()
    return run


async def _claimed(url: str) -> tuple[StorageWriter, list[NewMessage]]:
    """Store and claim conversations with a message each that is to be answered."""
    writer = StorageWriter(url)
    accepted = messages(COMMITS, COMMITS)
    await _write(writer, _encoded([*accepted]))
    for answer in await _write(writer, _encoded(claims_of(accepted))):
        for result in decode_results(answer):
            if not isinstance(result, Claim) or result.outcome is not ClaimOutcome.CLAIMED:
                raise RuntimeError(f"not claimed: {result}")
    return writer, accepted


async def _writer_commits(servers: Servers, url: str) -> _Speed:
    writer, accepted = await _claimed(url)
    batches = _encoded([*commits_of(accepted)])
    answers: list[bytes] = []

    async def work() -> None:
        answers.extend(await _write(writer, batches))

    run = await _Clock(servers).run(COMMITS, work)
    for answer in answers:
        for result in decode_results(answer):
            if result is not FencedOutcome.DONE:
                raise RuntimeError(f"not committed: {result}")
    await writer.close()
    return run


async def _raw_commits(servers: Servers, url: str) -> _Speed:
    writer, accepted = await _claimed(url)
    await writer.close()
    database = await _connect(url)
    commits = commits_of(accepted)

    async def work() -> None:
        for start in range(0, COMMITS, BATCH):
            batch = commits[start : start + BATCH]
            await database.fetch(
                COMMIT_BATCH,
                [it.conversation_id for it in batch],
                [it.message_ids[0] for it in batch],
                [it.job_id for it in batch],
                [it.reply for it in batch],
                [it.first_position for it in batch],
                [it.ai_response for it in batch],
                [it.extracted_actions for it in batch],
                [it.delivery_body for it in batch],
                [it.actions[0].data for it in batch],
            )

    run = await _Clock(servers).run(COMMITS, work)
    await database.close()
    return run


ACCEPT = "accept, writer"
RAW_ACCEPT = "accept, raw unnest"
COMMIT = "commit of a turn, writer"
RAW_COMMIT = "commit of a turn, raw unnest"
ALONE = "accept, row by row"
WAYS: dict[str, Callable[[Servers, str], Awaitable[_Speed]]] = {
    RAW_ACCEPT: _raw_accepts,
    ACCEPT: _writer_accepts,
    RAW_COMMIT: _raw_commits,
    COMMIT: _writer_commits,
    ALONE: _accepts_row_by_row,
}
