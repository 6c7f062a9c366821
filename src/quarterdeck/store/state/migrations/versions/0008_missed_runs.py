"""Add the number of missed runs of each schedule, and the due time of the last one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("schedule", sa.Column("missed_runs", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("schedule", sa.Column("missed_time", sa.Double[float](), nullable=True))
