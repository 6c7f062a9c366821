"""Agents."""

from __future__ import annotations

from sqlalchemy import Column, Index, Named, Table, TypedColumns, text

from quarterdeck.model.nodes import AgentState
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Word


class AgentColumns(TypedColumns):
    """An agent. It outlives its node here, as TERMINATED, so that its certificate stays refused.

    `server` names the server that has, or last had, its link.
    """

    agent_id: Named[str] = Column(primary_key=True)
    gid: Named[int]
    nid: Named[int]
    node_name: Named[str]
    state: Named[AgentState] = Column(Word(AgentState))
    version: Named[str]
    certificate_serial: Named[str]
    certificate_expires: Named[float]
    seen_at: Named[float]
    server: Named[str] = Column(nullable=False, server_default=text("''"))
    create_time: Named[float]
    last_update_time: Named[float]


agent = Table("agent", metadata, AgentColumns)
Index(None, agent.c.state, agent.c.seen_at)
