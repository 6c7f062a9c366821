"""Add the time of the last use of each API token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("api_token", sa.Column("used_at", sa.Double[float](), nullable=True))
