"""Statistics of large tables from a fifth of the rows, and none of columns nothing is found by."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# PostgreSQL analyses a table after each tenth of it has changed. With some hundred thousand rows
# that costs a second of a processor every few ten thousand messages, most of it for long texts.
LONG_TEXTS = {
    "messages": ("content", "metadata", "attachments", "context", "parts"),
    "jobs": ("message_ids", "ai_response", "extracted_actions", "delivery_body"),
    "message_actions": ("data",),
}
TARGET = 20
"""Instead of 100. It decides how many rows are read."""

SET_TARGETS = """
do $$
declare
    found record;
begin
    for found in
        select attname
        from pg_attribute
        where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped
    loop
        execute format(
            'alter table {table} alter column %I set statistics {target}', found.attname
        );
    end loop;
end
$$
"""

# The largest target decides, and what an index computes has one too.
SET_COMPUTED = "alter index jobs_dead_letters alter column 1 set statistics {target}"


def upgrade() -> None:
    """Set the targets of all columns."""
    op.execute(SET_COMPUTED.format(target=TARGET))
    for table, long_texts in LONG_TEXTS.items():
        op.execute(SET_TARGETS.format(table=table, target=TARGET))
        for column in long_texts:
            op.execute(f"alter table {table} alter column {column} set statistics 0")


def downgrade() -> None:
    """Go back to the default."""
    op.execute(SET_COMPUTED.format(target=-1))
    for table in LONG_TEXTS:
        op.execute(SET_TARGETS.format(table=table, target=-1))
