"""The tables of the baselines that store, and their statements: one row each."""

from __future__ import annotations

import asyncpg

__all__ = ["ADD_ACTION", "ADD_MESSAGE", "FINISH_ACTION", "TOUCH_CONVERSATION", "create"]

CREATE = """
create table if not exists conversations (
    conversation_id text primary key,
    last_message_timestamp double precision not null,
    total_messages bigint not null default 1
);
create table if not exists messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id text not null references conversations,
    message_id text not null,
    role text not null,
    content text not null,
    created_at timestamptz not null default now(),
    unique (conversation_id, message_id)
);
create table if not exists message_actions (
    id uuid primary key,
    conversation_id text not null references conversations,
    action_type text not null,
    data jsonb not null,
    status text not null default 'pending',
    retry_count integer not null default 0,
    created_at timestamptz not null default now()
);
"""
TOUCH_CONVERSATION = """
insert into conversations as c (conversation_id, last_message_timestamp) values ($1, $2)
on conflict (conversation_id) do update
set last_message_timestamp = $2, total_messages = c.total_messages + 1
"""
ADD_MESSAGE = """
insert into messages (conversation_id, message_id, role, content) values ($1, $2, $3, $4)
"""
ADD_ACTION = """
insert into message_actions (id, conversation_id, action_type, data) values ($1, $2, $3, $4::jsonb)
"""
FINISH_ACTION = "update message_actions set status = 'sent' where id = $1"
_LOCK = "select pg_advisory_xact_lock(1)"


async def create(database: asyncpg.Pool) -> None:
    """Create the tables unless another process has."""
    async with database.acquire() as connection, connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(CREATE)
