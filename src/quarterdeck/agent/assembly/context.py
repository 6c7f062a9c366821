"""The context that all groups of the agent's parts share, and their assembly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.conversation import Assembly
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.struct import Struct


class Context(Struct, frozen=True, kw_only=True):
    """The configuration, the agent's own folder, its current identity, and the node's name."""

    config: AgentConfig
    home: Path
    who: Callable[[], AgentIdentity]
    name: str


#: an agent's parts and topics
AgentAssembly = Assembly[LiveLink]
