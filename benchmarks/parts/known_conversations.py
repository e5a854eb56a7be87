"""Conversations that are in the database already, with a context of two messages."""

from __future__ import annotations

from storage.postgres import Database

__all__ = ["CONTENT_CHARACTERS", "conversation_id", "store_known_conversations"]

CONTENT_CHARACTERS = 100
_CHUNK = 10_000
_STORE = """
with numbers as (
    select 'known-' || lpad(n::text, 7, '0') as conversation_id, gen_random_uuid() as job_id
    from generate_series($1::integer, $2::integer - 1) as n
),
conversations as (
    insert into conversations (
        conversation_id, bot_id, epoch, last_position, total_messages, last_settled_at
    )
    select conversation_id, 'default', 1, 2, 2, now() from numbers
),
jobs as (
    insert into jobs (
        id, conversation_id, bot_id, status, outcome_status, message_ids, committed_at, finished_at
    )
    select job_id, conversation_id, 'default', 'completed', 'completed', '{first}', now(), now()
    from numbers
)
insert into messages (
    conversation_id, message_id, job_id, turn_job_id, sender_id, sender_type, bot_id, content,
    "timestamp", "position", processed_at
)
select
    conversation_id, message_id, job_id, job_id, 'somebody', sender_type, 'default',
    repeat(md5(conversation_id), 4)::char(100), 1700000000, place, now()
from numbers
cross join (values ('first', 'user', 1), (null, 'bot', 2)) as t (message_id, sender_type, place)
"""


def conversation_id(number: int) -> str:
    """Return the id of the so many-th."""
    return f"known-{number:07}"


async def store_known_conversations(database_url: str, count: int) -> None:
    """Store so many; each has been answered once, under epoch 1."""
    database = await Database.connect(
        database_url, max_connections=1, statement_timeout_seconds=120
    )
    for start in range(0, count, _CHUNK):
        await database.fetch(_STORE, start, min(count, start + _CHUNK))
    for table in ("conversations", "messages", "jobs"):
        await database.fetch(f"analyze {table}")
    await database.close()
