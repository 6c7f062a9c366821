"""Services, and their state on each node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "service",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_service"),
    )
    op.create_table(
        "service_on_node",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("gid", sa.Integer(), nullable=False),
        sa.Column("nid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.ForeignKeyConstraint(
            ["gid", "nid"], ["node.gid", "node.nid"], name="fk_service_on_node_node", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", "gid", "nid", name="pk_service_on_node"),
    )
    op.create_index("ix_service_on_node_gid_nid", "service_on_node", ["gid", "nid"])
