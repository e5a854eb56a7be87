"""How a statement says that what it was based on is not true any more."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a function that ends the transaction; the client is to begin it again."""
    op.execute(
        """
        create function conversation_changed(conversation_id text) returns boolean
        language plpgsql as $$
        begin
            raise exception 'a conversation has changed' using errcode = 'serialization_failure';
        end
        $$
        """
    )


def downgrade() -> None:
    """Take it away."""
    op.execute("drop function conversation_changed(text)")
