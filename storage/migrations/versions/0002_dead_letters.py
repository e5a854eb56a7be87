"""Attempts counted before they are made, and what dead letters tell."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A turn that failed is one message given up, whatever became of its fallback message.
KIND = "(case when outcome_status = 'failed' then 'message' else 'delivery' end)"

UPGRADE = (
    "alter table conversations add column attempts integer not null default 0",
    """alter table jobs
        add column attempts integer not null default 1,
        add column error text,
        add column retried_by uuid""",
    "drop index jobs_dead_letters",
    f"""create index jobs_dead_letters on jobs ({KIND}, dead_letter_at, id)
        where dead_letter_at is not null""",
)
DOWNGRADE = (
    "drop index jobs_dead_letters",
    "create index jobs_dead_letters on jobs (dead_letter_at, id) where dead_letter_at is not null",
    "alter table jobs drop column attempts, drop column error, drop column retried_by",
    "alter table conversations drop column attempts",
)


def upgrade() -> None:
    """Add the columns, and an index of dead letters by their kind."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Take them away again."""
    for statement in DOWNGRADE:
        op.execute(statement)
