"""Add the CA that the state belongs to, the labels that agents may set, and the desired sets held from a lost state.

Labels that agents had stated become labels of their nodes, so that the labels in force stay the same.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the columns."""
    op.create_table(
        "fleet",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ca_sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_fleet"),
    )
    op.add_column("node", sa.Column("claimed_labels", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("node", sa.Column("allowed_labels", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("node", sa.Column("held_revision", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("join_token", sa.Column("allow_labels", sa.Text(), nullable=True))
    _take_over_labels()


def _take_over_labels() -> None:
    node = sa.table(
        "node",
        *(sa.column(name, sa.Integer()) for name in ("gid", "nid")),
        sa.column("labels"),
        sa.column("agent_labels"),
    )
    connection = op.get_bind()
    for gid, nid, own, agents in connection.execute(sa.select(node)).all():
        labels = json.dumps(json.loads(own) | json.loads(agents))
        connection.execute(
            sa.update(node).where(node.c.gid == gid, node.c.nid == nid).values(labels=labels, agent_labels="{}")
        )
