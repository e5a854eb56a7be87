"""Row ids in the order of time: new ones stand together in their indexes."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The random bits are those of a version 4 UUID, which has the same variant; 4 to 7 is two bits.
OWN_UUID = """
    encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    placing substring(
                        int8send((1000 * extract(epoch from clock_timestamp()))::bigint) from 3
                    )
                    from 1 for 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid
"""
FIRST_WITH_UUIDV7 = 180000
TABLES = ("conversations", "messages", "message_actions")


def upgrade() -> None:
    """Make ids of version 7 from now on; random ones stay as they are."""
    version = int(op.get_bind().exec_driver_sql("show server_version_num").scalar_one())
    made = "uuidv7()" if version >= FIRST_WITH_UUIDV7 else OWN_UUID
    op.execute(f"create function time_ordered_uuid() returns uuid language sql return {made}")
    for table in TABLES:
        op.execute(f"alter table {table} alter column id set default time_ordered_uuid()")


def downgrade() -> None:
    """Make random ones again."""
    for table in TABLES:
        op.execute(f"alter table {table} alter column id set default gen_random_uuid()")
    op.execute("drop function time_ordered_uuid()")
