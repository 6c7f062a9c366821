"""Placements of all kinds."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Named, Table, Text, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class PlacementColumns(TypedColumns):
    """One thing of a kind on one node. `revision` is the desired set of that node in which this row last changed.

    Rows that are not wanted wait until the node's agent reports that the thing has ended. `status` and `stats` are the
    agent's last reports, as the kind writes them; `reported` is the revision of the desired set that the status belongs
    to, 0 while the agent has reported nothing.
    """

    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    kind: Named[str] = Column(primary_key=True)
    name: Named[str] = Column(primary_key=True)
    version: Named[str]
    wanted: Named[bool]
    revision: Named[int]
    reported: Named[int]
    status: Named[str | None] = Column(Text)
    stats: Named[str | None] = Column(Text)
    create_time: Named[float]
    last_update_time: Named[float]


placement = Table(
    "placement",
    metadata,
    PlacementColumns,
    ForeignKeyConstraint(["gid", "nid"], ["node.gid", "node.nid"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)
Index(None, placement.c.kind, placement.c.name)
