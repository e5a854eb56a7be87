"""Writing through the product's storage writer, in this process."""

from __future__ import annotations

import asyncio

from benchmarks.parts.servers import Servers
from benchmarks.parts.speed import Clock, Speed
from benchmarks.parts.writer_rows import (
    BATCH,
    COMMITS,
    CONVERSATIONS,
    MESSAGES,
    claims_of,
    commits_of,
    encoded,
    messages,
)
from storage.claim_records import Claim, ClaimOutcome
from storage.codec import decode_results
from storage.records import Accepted, AcceptOutcome, FencedOutcome, NewMessage
from storage.writer import StorageWriter

__all__ = ["accept_by_writer", "claimed", "commit_by_writer"]


async def _write(writer: StorageWriter, batches: list[bytes]) -> list[bytes]:
    """Have batches written, one waiting while one is under way."""
    answers: list[bytes] = [b""] * len(batches)
    places = iter(range(len(batches)))

    async def caller() -> None:
        for place in places:
            answers[place] = await writer.execute(batches[place])

    await asyncio.gather(caller(), caller())
    return answers


async def accept_by_writer(servers: Servers, url: str) -> Speed:
    """Store messages, one for each of the conversations and then another."""
    writer = StorageWriter(url)
    await _write(writer, encoded(messages(BATCH, CONVERSATIONS)))
    batches = encoded(messages(MESSAGES, CONVERSATIONS, BATCH))
    answers: list[bytes] = []

    async def work() -> None:
        answers.extend(await _write(writer, batches))

    run = await Clock(servers).run(MESSAGES, work)
    for answer in answers:
        for result in decode_results(answer):
            if not isinstance(result, Accepted) or result.outcome is not AcceptOutcome.ACCEPTED:
                raise RuntimeError(f"not accepted: {result}")
    await writer.close()
    return run


async def claimed(url: str) -> tuple[StorageWriter, list[NewMessage]]:
    """Store and claim conversations with a message each that is to be answered."""
    writer = StorageWriter(url)
    accepted = messages(COMMITS, COMMITS)
    await _write(writer, encoded(accepted))
    for answer in await _write(writer, encoded(claims_of(accepted))):
        for result in decode_results(answer):
            if not isinstance(result, Claim) or result.outcome is not ClaimOutcome.CLAIMED:
                raise RuntimeError(f"not claimed: {result}")
    return writer, accepted


async def commit_by_writer(servers: Servers, url: str) -> Speed:
    """Commit turns of as many conversations."""
    writer, accepted = await claimed(url)
    batches = encoded(commits_of(accepted))
    answers: list[bytes] = []

    async def work() -> None:
        answers.extend(await _write(writer, batches))

    run = await Clock(servers).run(COMMITS, work)
    for answer in answers:
        for result in decode_results(answer):
            if result is not FencedOutcome.DONE:
                raise RuntimeError(f"not committed: {result}")
    await writer.close()
    return run
