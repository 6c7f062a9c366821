"""Nodes, and the grids that number them."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model.nodes import Facts
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json

Labels = dict[str, str]


class GridColumns(TypedColumns):
    """A grid gives its nodes their numbers. A number is never given twice."""

    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    next_nid: Named[int]


class NodeColumns(TypedColumns):
    """A host. `labels` were set on the server, or when it joined, and override others with the same key.

    `agent_labels` are the labels that its agent states and `allowed_labels` allow: they are in force. `claimed_labels`
    are its other ones. `held_revision`: the agent has that desired set, which a lost state sent it.
    """

    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    name: Named[str]
    agent_id: Named[str] = Column(nullable=False, unique=True)
    labels: Named[Labels] = Column(Json(dict[str, str]))
    agent_labels: Named[Labels] = Column(Json(dict[str, str]))
    claimed_labels: Named[Labels] = Column(Json(dict[str, str]), nullable=False, server_default="{}")
    allowed_labels: Named[tuple[str, ...]] = Column(Json(tuple[str, ...]), nullable=False, server_default="[]")
    facts: Named[Facts] = Column(Json(Facts))
    revision: Named[int]
    acted_revision: Named[int]
    held_revision: Named[int] = Column(nullable=False, server_default="0")
    joined_at: Named[float]


grid = Table("grid", metadata, GridColumns)
node = Table("node", metadata, NodeColumns)
