"""Contents as agents see them: a node fetches the contents that it needs, and sends the files of its jobs.

It never decides anything: `grants` decides what a node may fetch, `files` and `artefacts` store it, `pulls` receives
files.
"""

from __future__ import annotations

from quarterdeck.link.messages import ArtefactChunk, FileChunk, FileOffer, FileStored, WantFile
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.grants import Grants
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers


class Contents:
    """Answers agents' messages about contents. Errors reach the agents unchanged."""

    def __init__(
        self, *, files: Files, artefacts: Artefacts, grants: Grants, pulls: Pulls, transfers: Transfers
    ) -> None:
        self._files = files
        self._artefacts = artefacts
        self._grants = grants
        self._pulls = pulls
        self._transfers = transfers

    async def chunk(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk:
        """Return a piece of the file or artefact with that hash; raise `NotFound` if the node does not need it."""
        await self._grants.check(agent, sha256)
        if self._files.has(sha256):
            chunk = await self._files.chunk(sha256, offset)
            self._transfers.note(agent, sha256, at=offset + len(chunk.data), size=chunk.size, to_node=True)
            return chunk
        return await self._artefacts.chunk(sha256, offset)

    async def offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored:
        """Answer a node that offers a file: where to start, that it is stored already, or why it is refused."""
        return await self._pulls.offered(agent, offer)

    async def received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None:
        """Store the next bytes of a node's file and return the answer; return None when they were not requested."""
        return await self._pulls.received(agent, chunk)

    async def left(self, agent: AgentIdentity) -> None:
        """Close the grants and transfers of an agent whose link has ended; the bytes received are kept."""
        self._grants.left(agent)
        await self._pulls.left(agent)
