"""What the running stack keeps inside: rows in PostgreSQL, leases in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from redis.asyncio import Redis

from storage.postgres import Database
from tests.servers import PostgresServer, RedisServer

__all__ = ["Inside", "open_inside"]

_JSON = {"ai_response", "extracted_actions", "data", "metadata", "attachments", "parts"}


class Inside:
    """Reads rows as dictionaries, and leases as Redis holds them."""

    def __init__(self, database: Database, redis: Any) -> None:
        self._database = database
        self._redis = redis

    async def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows, JSON columns decoded."""
        found = await self._database.fetch(sql, *arguments)
        return [{name: _value(name, value) for name, value in row.items()} for row in found]

    async def conversation(self, conversation_id: str) -> dict[str, Any]:
        """Return the row of a conversation."""
        (row,) = await self.rows(
            "select * from conversations where conversation_id = $1", conversation_id
        )
        return row

    async def messages(self, conversation_id: str) -> list[dict[str, Any]]:
        """Return what was said in a conversation, the bot's replies among it, as accepted."""
        return await self.rows(
            "select * from messages where conversation_id = $1 order by seq", conversation_id
        )

    async def jobs(self, conversation_id: str) -> list[dict[str, Any]]:
        """Return the jobs of a conversation, in the order of their messages."""
        return await self.rows(
            """select j.*, j.id::text as job_id, j.superseded_by::text as answered_by from jobs j
            where conversation_id = $1 order by created_at, id""",
            conversation_id,
        )

    async def job(self, job_id: str) -> dict[str, Any]:
        """Return the row of a job."""
        (row,) = await self.rows("select * from jobs where id = $1::uuid", job_id)
        return row

    async def actions(self, conversation_id: str) -> list[dict[str, Any]]:
        """Return the actions of a conversation, in order."""
        return await self.rows(
            """select * from message_actions where conversation_id = $1
            order by created_at, job_id, ordinal""",
            conversation_id,
        )

    async def count_messages(self) -> int:
        """Return how many messages there are in all."""
        (row,) = await self.rows("select count(*) as messages from messages")
        return int(row["messages"])

    async def lease(self, conversation_id: str) -> dict[str, str] | None:
        """Return the lease of a conversation; None: nobody holds it."""
        held = await self._redis.hgetall(f"lease:{conversation_id}")
        return {name.decode(): value.decode() for name, value in held.items()} or None

    async def lease_milliseconds(self, conversation_id: str) -> int:
        """Return how long the lease still holds by itself."""
        return int(await self._redis.pttl(f"lease:{conversation_id}"))

    async def hold_lease(
        self, conversation_id: str, *, owner: str, cluster: str, seconds: float
    ) -> None:
        """Take the lease for somebody else, who does not renew it."""
        key = f"lease:{conversation_id}"
        holder = {"owner": owner, "cluster": cluster, "lock_id": "theirs"}
        await self._redis.hset(key, mapping=holder)
        await self._redis.pexpire(key, int(seconds * 1000))

    async def tables_with(self, marks: list[str]) -> list[str]:
        """Return the tables of which a row holds one of the texts, in any column."""
        tables = await self._database.fetch(
            "select table_name from information_schema.tables where table_schema = 'public'"
        )
        found = []
        for table in [row["table_name"] for row in tables]:
            rows = await self._database.fetch(
                f"select from {table} as r where r::text like any ($1::text[]) limit 1",
                [f"%{mark}%" for mark in marks],
            )
            found += [table] * len(rows)
        return found

    async def keys_with(self, marks: list[str]) -> list[str]:
        """Return the keys of Redis that hold one of the texts, in their names or values."""
        found = []
        async for key in self._redis.scan_iter(count=1000):
            content = repr((key, await self._content(key)))
            if any(mark in content for mark in marks):
                found.append(key.decode())
        return found

    async def _content(self, key: bytes) -> Any:
        kind = (await self._redis.type(key)).decode()
        if kind == "hash":
            return await self._redis.hgetall(key)
        if kind == "zset":
            return await self._redis.zrange(key, 0, -1)
        return None if kind == "none" else await self._redis.dump(key)


@asynccontextmanager
async def open_inside(postgres: PostgresServer, redis: RedisServer) -> AsyncIterator[Inside]:
    """Connect to both servers of a stack while the block runs."""
    database = await Database.connect(postgres.url, max_connections=2)
    client = Redis.from_url(redis.url)
    try:
        yield Inside(database, client)
    finally:
        await client.aclose()
        await database.close()


def _value(name: str, value: Any) -> Any:
    return orjson.loads(value) if name in _JSON and isinstance(value, str) else value
