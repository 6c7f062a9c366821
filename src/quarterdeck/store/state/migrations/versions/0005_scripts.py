"""Scripts, and which commands and schedules name them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and a column in those that name its rows."""
    op.create_table(
        "script",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_script"),
    )
    for table in ("command", "schedule"):
        op.add_column(table, sa.Column("script", sa.String(), nullable=True))
        op.create_index(f"ix_{table}_script", table, ["script"])
