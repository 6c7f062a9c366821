"""Keep what is wanted on nodes in one table for every kind of thing, and name the server that has an agent's link.

Instances and services on nodes become placements: wanted as before, with the status that was reported last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ROWS = 1000


def upgrade() -> None:
    """Create the table and the column, take over the rows, and drop the tables that had them."""
    placement = op.create_table(
        "placement",
        sa.Column("gid", sa.Integer(), nullable=False),
        sa.Column("nid", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reported", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("stats", sa.Text(), nullable=True),
        sa.Column("create_time", sa.Double[float](), nullable=False),
        sa.Column("last_update_time", sa.Double[float](), nullable=False),
        sa.ForeignKeyConstraint(["gid", "nid"], ["node.gid", "node.nid"], name="fk_placement_node", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("gid", "nid", "kind", "name", name="pk_placement"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_placement_kind_name", "placement", ["kind", "name"])
    connection = op.get_bind()
    for rows in (_instances(connection), _services(connection)):
        for start in range(0, len(rows), _ROWS):
            connection.execute(sa.insert(placement), rows[start : start + _ROWS])
    op.drop_table("instance")
    op.drop_table("service_on_node")
    op.add_column("agent", sa.Column("server", sa.String(), nullable=False, server_default=""))


def _instances(connection: sa.Connection) -> Sequence[dict[str, Any]]:
    return [
        {
            **_common(row),
            "kind": "module",
            "name": row["module_id"],
            "version": _version(row["digest"], row["settings"]),
            "wanted": row["desire_state"] == "DEPLOYED",
            "status": _renamed(row["status"], row["module_id"]),
            "stats": _renamed(row["stats"], row["module_id"]),
            "create_time": row["create_time"],
        }
        for row in _rows(connection, "instance")
    ]


def _services(connection: sa.Connection) -> Sequence[dict[str, Any]]:
    return [
        {
            **_common(row),
            "kind": "service",
            "name": row["name"],
            "version": row["version"],
            "wanted": bool(row["wanted"]),
            "status": row["status"],
            "stats": None,
            "create_time": row["last_update_time"],
        }
        for row in _rows(connection, "service_on_node")
    ]


def _rows(connection: sa.Connection, table: str) -> Iterator[Any]:
    return iter(connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().all())  # noqa: S608 (two names)


def _common(row: Any) -> dict[str, Any]:
    names = ("gid", "nid", "revision", "last_update_time")
    status = row["status"]
    reported = 0 if status is None else msgspec.json.decode(status)["revision"]
    return {**{name: row[name] for name in names}, "reported": reported}


def _version(digest: str, settings: str) -> str:
    """Return what names a build with these settings, as the server of this schema computes it."""
    named = msgspec.json.encode([digest, msgspec.json.decode(settings)], order="deterministic")
    return hashlib.sha256(named).hexdigest()


def _renamed(text: str | None, module_id: str) -> str | None:
    """Return what an agent reported of an instance, which is named by its module from now on."""
    if text is None:
        return None
    return msgspec.json.encode(msgspec.json.decode(text) | {"instance_id": module_id}).decode()
