"""Name the sender of a stored batch its origin: rows come from other senders than agents too."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the column; its values stay."""
    op.execute("ALTER TABLE ingest_batch RENAME COLUMN agent_id TO origin")
