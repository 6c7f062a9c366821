"""The conversation about contents with each agent, separate from others: jobs and reports never wait for a transfer."""

from __future__ import annotations

import asyncio
from typing import Protocol

from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import ArtefactChunk, FileChunk, FileOffer, FileStored, WantArtefact, WantFile
from quarterdeck.model.errors import NotFound, StorageCorrupt
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.sessions.session import Session

#: messages about contents that wait to be answered; while there are more, the agent waits
WAITING = 64


class NodeContents(Protocol):
    """Answers an agent's messages about contents: `Contents`."""

    async def chunk(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk: ...

    async def offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored: ...

    async def received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None: ...

    async def left(self, agent: AgentIdentity) -> None: ...


class ContentLinks:
    """The topic of contents."""

    takes = (WantArtefact, FileOffer, FileChunk)

    def __init__(self, contents: NodeContents) -> None:
        self._contents = contents

    def open(self, link: Session) -> Conversation:
        """Open the conversation on a new link."""
        return _Exchange(link, self._contents)


class _Exchange(Conversation):
    def __init__(self, session: Session, contents: NodeContents) -> None:
        self._session = session
        self._contents = contents
        self._waiting = asyncio.Queue[WantArtefact | FileOffer | FileChunk](WAITING)

    async def received(self, message: WantArtefact | FileOffer | FileChunk) -> None:
        await self._waiting.put(message)

    async def run(self) -> None:
        try:
            while True:
                answer = await self._answer(await self._waiting.get())
                if answer is not None:
                    await self._session.send(answer)
        finally:
            if not self._session.replaced:  # the new link of the agent uses the transfers now
                await self._contents.left(self._session.agent)

    async def _answer(
        self, message: WantArtefact | FileOffer | FileChunk
    ) -> ArtefactChunk | WantFile | FileStored | None:
        match message:
            case WantArtefact():
                return await self._chunk(message)
            case FileOffer():
                return await self._contents.offered(self._session.agent, message)
            case FileChunk():
                return await self._contents.received(self._session.agent, message)

    async def _chunk(self, want: WantArtefact) -> ArtefactChunk:
        try:
            return await self._contents.chunk(self._session.agent, want.sha256, want.offset)
        except (NotFound, StorageCorrupt) as error:
            problem = str(error)
            return ArtefactChunk(sha256=want.sha256, offset=want.offset, size=-1, data=b"", problem=problem)
