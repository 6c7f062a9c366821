"""Add saved queries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "saved_query",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sql", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("view", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_saved_query"),
    )
