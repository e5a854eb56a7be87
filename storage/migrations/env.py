"""Alembic's entry point: finds the database's address and runs the migrations over asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from storage.postgres import migration_connection
from storage.settings import load_settings

# Two starts at once migrate one after the other. Any number will do, if nobody else uses it.
MIGRATION_LOCK = 7_203_117_054


def database_url() -> str:
    """Return the address to migrate, from the first place that names one."""
    from_caller = context.config.attributes.get("url")
    from_command_line = context.get_x_argument(as_dictionary=True).get("url")
    from_file = context.config.get_main_option("sqlalchemy.url")
    named = from_caller or from_command_line or from_file
    if named:
        return str(named)
    # Only the bare `alembic` command comes here: without an address from its caller it is the
    # composition root itself, which may read the environment.
    dsn = load_settings().postgres_dsn
    if dsn is None:
        raise CommandError("no database: set DATABASE_URL or POSTGRES_HOST, or use -x url=")
    return dsn


def tell_of_step(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
) -> None:
    """Tell the caller, if it wants to know, what was applied."""
    tell = context.config.attributes.get("tell")
    if tell is not None:
        tell(step.up_revision_id or str(step))


def run(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(
        connection=connection,
        transaction_per_migration=False,
        on_version_apply=tell_of_step,
    )
    with context.begin_transaction():
        connection.execute(
            text("select pg_advisory_xact_lock(:lock)").bindparams(lock=MIGRATION_LOCK)
        )
        context.run_migrations()


async def run_online() -> None:
    """Connect and migrate."""
    url = database_url()
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: migration_connection(url),
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


def run_offline() -> None:
    """Print the SQL instead of running it (``alembic upgrade head --sql``)."""
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_online())
