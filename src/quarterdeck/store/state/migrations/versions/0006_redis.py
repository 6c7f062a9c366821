"""Commands that came through Redis, and which of their results were delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "redis_command",
        sa.Column("command", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["command"], ["command.number"], name="fk_redis_command_command", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("command", name="pk_redis_command"),
    )
