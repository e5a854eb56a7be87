"""The order in which a conversation's messages were accepted, so that a gap in it shows."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        alter table conversations
            add column last_seq bigint not null default 0,
            add column previous_seq bigint not null default 0
        """
    )
    op.execute(
        """
        update conversations c
        set last_seq = m.last_seq
        from (select conversation_id, max(seq) as last_seq from messages group by conversation_id) m
        where c.conversation_id = m.conversation_id
        """
    )


def downgrade() -> None:
    op.execute("alter table conversations drop column last_seq, drop column previous_seq")
