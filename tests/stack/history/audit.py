"""Triggers of our own that note every commit with the epoch that held, and every sending."""

from __future__ import annotations

import asyncio

from storage.postgres import Database

__all__ = ["install_audit"]

_STATEMENTS = (
    "create schema audit",
    """create table audit.commits (
        id bigint generated always as identity,
        conversation_id text not null,
        job_id text not null,
        epoch bigint,
        held_epoch bigint not null,
        at timestamptz not null default clock_timestamp()
    )""",
    """create table audit.sendings (
        id bigint generated always as identity,
        conversation_id text not null,
        job_id text not null,
        at timestamptz not null default clock_timestamp()
    )""",
    "create index on audit.commits (conversation_id)",
    "create index on audit.sendings (conversation_id)",
    # The conversation's row is locked by whoever commits, so what is read here held then.
    """create function audit.note() returns trigger language plpgsql as $$
    begin
        if new.committed_at is not null and new.committed_at is distinct from old.committed_at then
            insert into audit.commits (conversation_id, job_id, epoch, held_epoch)
            select new.conversation_id, new.id::text, new.epoch, c.epoch
            from public.conversations c
            where c.conversation_id = new.conversation_id;
        end if;
        if new.delivery_status = 'sent' and old.delivery_status is distinct from 'sent' then
            insert into audit.sendings (conversation_id, job_id)
            values (new.conversation_id, new.id::text);
        end if;
        return null;
    end $$""",
    """create trigger audit after update on public.jobs
        for each row execute function audit.note()""",
)


def install_audit(database_url: str) -> None:
    """Begin to note, in a database that has the product's tables. Once for a database."""

    async def install() -> None:
        database = await Database.connect(database_url, max_connections=1)
        try:
            for statement in _STATEMENTS:
                await database.fetch(statement)
        finally:
            await database.close()

    asyncio.run(install())
