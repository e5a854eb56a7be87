"""What the routes read and write, over a real database."""

from __future__ import annotations

import uuid

import pytest

from ingress.database_store import DatabaseStore
from storage.bots import AiCore, Bot
from storage.postgres import Database
from storage.reads import InvalidCursor
from storage.records import Accepted, JobStatus
from storage.settings import Settings
from tests.storage.client import Client, message


@pytest.fixture
def store(database: Database) -> DatabaseStore:
    return DatabaseStore(database, Settings(_env_file=None))


async def accept(client: Client, conversation_id: str) -> Accepted:
    return await client.accept_one(message(conversation_id, "m"))


async def test_a_job_is_found_and_cancelled_once(store: DatabaseStore, client: Client) -> None:
    accepted = await accept(client, "c")
    job = await store.job(accepted.job_id)
    assert job is not None
    assert (job.status, job.result, job.message_ids) == (JobStatus.QUEUED, None, ["m"])
    for _ in range(2):
        cancelled = await store.cancel_job(accepted.job_id)
        assert cancelled is not None
        assert cancelled.status is JobStatus.CANCELLED
    assert await store.job(str(uuid.uuid4())) is None
    assert await store.cancel_job(str(uuid.uuid4())) is None


async def test_conversations_are_listed_page_by_page(store: DatabaseStore, client: Client) -> None:
    ids = ["a/b", "ü 😀", "x" * 255]
    for conversation_id in ids:
        await accept(client, conversation_id)
    first = await store.conversations(2, None, None)
    second = await store.conversations(2, first.next_cursor, "active")
    found = [it.conversation_id for it in first.conversations + second.conversations]
    assert found == ids[::-1]
    assert second.next_cursor is None
    for cursor in ("zzz", "é", "bnVsbA=="):
        with pytest.raises(InvalidCursor):
            await store.conversations(2, cursor, None)


async def test_a_conversation_is_shown_cancelled_and_resumed(
    store: DatabaseStore, client: Client
) -> None:
    await accept(client, "c")
    detail = await store.conversation("c")
    assert detail is not None
    assert [it.message_id for it in detail.messages] == ["m"]
    cancelled = await store.cancel_conversation("c")
    assert cancelled is not None
    assert (cancelled.cancelled_job_id, cancelled.owner) == (None, None)
    assert await store.resume_conversation("c") is not None
    assert await store.conversation("unknown") is None
    assert await store.cancel_conversation("unknown") is None
    assert await store.resume_conversation("unknown") is None


async def test_the_system_is_described_and_cleaned_up(store: DatabaseStore, client: Client) -> None:
    await store.ping()
    accepted = await accept(client, "c")
    assert (await store.conversation_statistics()).total == 1
    assert await store.postgres_statistics() is not None
    assert await store.stuck_conversations() == []
    erased: list[str] = []

    async def on_erased(conversation_ids: list[str]) -> None:
        erased.extend(conversation_ids)

    kept = await store.cleanup(876_000.0, dry_run=False, on_erased=on_erased)
    assert kept.conversations == 0
    waiting = await store.cleanup(1e-9, dry_run=False, on_erased=on_erased)
    assert waiting.conversations == 0, "it has an unprocessed message"
    await store.cancel_job(accepted.job_id)
    would = await store.cleanup(1e-9, dry_run=True, on_erased=on_erased)
    assert (would.conversations, erased) == (1, [])
    gone = await store.cleanup(1e-9, dry_run=False, on_erased=on_erased)
    assert (gone.conversations, gone.messages, erased) == (1, 1, ["c"])


async def test_bots_come_and_go(store: DatabaseStore) -> None:
    assert [bot.bot_id for bot in await store.bots()] == ["default"]
    bot = Bot(bot_id="a/b", name="B", ai_core=AiCore(timeout_seconds=5.0))
    await store.put_bot(bot)
    assert await store.bot("a/b") == bot
    assert {it.bot_id for it in await store.bots()} == {"default", "a/b"}
    assert await store.stuck_conversations() == []
    assert await store.delete_bot("a/b") is True
    assert await store.bot("a/b") is None
