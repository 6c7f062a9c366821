"""Commands and jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "command",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("cmd", sa.String(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=True),
        sa.Column("ended_at", sa.Double[float](), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_command"),
        sa.UniqueConstraint("id", name="uq_command_id"),
    )
    op.create_index("ix_command_ended_at", "command", ["ended_at"])
    op.create_table(
        "job",
        sa.Column("command", sa.Integer(), nullable=False),
        sa.Column("gid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("nid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("offered", sa.Boolean(), nullable=False),
        sa.Column("killed", sa.Boolean(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("accept_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["command"], ["command.number"], name="fk_job_command", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("command", "gid", "nid", name="pk_job"),
    )
    op.create_index("ix_job_state_gid_nid", "job", ["state", "gid", "nid"])
    op.create_index("ix_job_gid_nid", "job", ["gid", "nid"])
    op.create_index("ix_job_change", "job", ["change"], unique=True)
