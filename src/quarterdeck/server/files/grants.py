"""Access of nodes to contents: artefacts of modules that are placed on them, files and scripts of their open jobs.

A hash is not secret: results, logs and lists contain it. So a content is sent only to a node whose placements or jobs
need it. Owns the record of contents granted to each agent over its current link. It never stores contents.
"""

from __future__ import annotations

from collections import OrderedDict

from quarterdeck.model.errors import NotFound
from quarterdeck.model.files import is_sha256
from quarterdeck.model.modules import MODULE
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.store.state import modules, offers, placements
from quarterdeck.store.state.database import Database

#: contents that are remembered as granted to one agent; others are looked up again
REMEMBERED = 256


class Grants:
    """Checks each piece that an agent requests."""

    def __init__(self, database: Database, *, artefacts: Artefacts) -> None:
        self._database = database
        self._artefacts = artefacts
        self._granted: dict[str, OrderedDict[str, None]] = {}  # by agent id

    async def check(self, agent: AgentIdentity, sha256: str) -> None:
        """Raise `NotFound` unless the node needs this content; the message is that for a missing content."""
        granted = self._granted.setdefault(agent.agent_id, OrderedDict())
        if sha256 in granted:
            granted.move_to_end(sha256)
            return
        if not is_sha256(sha256) or not await self._has_use(agent.key, sha256):
            raise NotFound(
                f"The server has no file or artefact {sha256[:64]} for this node.",
                hint="It was removed, never sent, or no job or module of this node needs it; see `qd file ls`.",
            )
        granted[sha256] = None
        if len(granted) > REMEMBERED:
            granted.popitem(last=False)

    def left(self, agent: AgentIdentity) -> None:
        """Forget the grants of an agent whose link has ended."""
        self._granted.pop(agent.agent_id, None)

    async def _has_use(self, key: NodeKey, sha256: str) -> bool:
        async with self._database.read() as transaction:
            if await offers.names_content(transaction, key, sha256):
                return True
            placed = {row.name for row in await placements.find_on(transaction, key) if row.kind == MODULE}
            digests = {module.digest for module in await modules.find_all(transaction) if module.id in placed}
            builds = await self._artefacts.builds(transaction, digests)
        return any(part.sha256 == sha256 for build in builds.values() for part in (build.object, *build.transforms))
