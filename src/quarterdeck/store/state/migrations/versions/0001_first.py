"""The first schema: nodes, tokens, modules, audit, the ingest journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "agent",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("gid", sa.Integer(), nullable=False),
        sa.Column("nid", sa.Integer(), nullable=False),
        sa.Column("node_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("certificate_serial", sa.String(), nullable=False),
        sa.Column("certificate_expires", sa.Double[float](), nullable=False),
        sa.Column("seen_at", sa.Double[float](), nullable=False),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name="pk_agent"),
    )
    op.create_index("ix_agent_state_seen_at", "agent", ["state", "seen_at"])
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
        sa.UniqueConstraint("name", name="uq_api_token_name"),
    )
    op.create_table(
        "artefact",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_artefact"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double[float](), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "build",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_build"),
    )
    op.create_table(
        "grid",
        sa.Column("gid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_nid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("gid", name="pk_grid"),
    )
    op.create_table(
        "ingest_batch",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agent_id", "epoch", "seq", "table_name", name="pk_ingest_batch"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ingest_batch_group", "ingest_batch", ["group_id"])
    op.create_table(
        "ingest_group",
        sa.Column("group_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name="pk_ingest_group"),
    )
    op.create_table(
        "join_token",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gid", sa.Integer(), nullable=False),
        sa.Column("nid", sa.Integer(), nullable=True),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("certificate_pem", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=False),
        sa.Column("used_at", sa.Double[float](), nullable=True),
        sa.Column("used_by", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_join_token"),
    )
    op.create_table(
        "node",
        sa.Column("gid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("nid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("agent_labels", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("acted_revision", sa.Integer(), nullable=False),
        sa.Column("joined_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("gid", "nid", name="pk_node"),
        sa.UniqueConstraint("agent_id", name="uq_node_agent_id"),
    )
    op.create_table(
        "table_schema",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("registered", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_table_schema"),
    )
    op.create_table(
        "module",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("builtin", sa.Boolean(), nullable=False),
        sa.Column("desire_state", sa.String(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["build.digest"], name="fk_module_build"),
        sa.PrimaryKeyConstraint("id", name="pk_module"),
        sa.UniqueConstraint("name", name="uq_module_name"),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("module_id", sa.String(), nullable=False),
        sa.Column("gid", sa.Integer(), nullable=False),
        sa.Column("nid", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("desire_state", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("stats", sa.Text(), nullable=True),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["build.digest"], name="fk_instance_build"),
        sa.ForeignKeyConstraint(["gid", "nid"], ["node.gid", "node.nid"], name="fk_instance_node", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["module_id"], ["module.id"], name="fk_instance_module", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("module_id", "gid", "nid", name="uq_instance_module_id_gid_nid"),
    )
    op.create_index("ix_instance_gid_nid", "instance", ["gid", "nid"])
