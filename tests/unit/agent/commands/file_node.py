"""A node that puts and gets files, joined to the server's own halves by a link that can be cut and damage data."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.offers import Offers
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    ArtefactChunk,
    FileChunk,
    FileOffer,
    FromAgent,
    WantArtefact,
)
from quarterdeck.model.errors import (
    NotFound,
)
from quarterdeck.model.files import NodeFile
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers
from tests.services import Services

CONTENT = os.urandom(ARTEFACT_CHUNK_BYTES * 3 + 11)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OPERATOR = ApiToken(id="t", name="olga", role=Role.OPERATOR)


class Node:
    """A node's file commands, and a link to the server that can be cut after some messages."""

    def __init__(self, folder: Path, services: Services, agent: AgentIdentity) -> None:
        self.folder = folder
        self.services = services
        self.agent = agent
        self.files = Files(folder / "server", limit_bytes=2**30, keep_s=1e6)
        self.transfers = Transfers()
        self.begin()
        self.messages: list[FromAgent] = []
        self.patience = 1000
        self.damage: Callable[[bytes], bytes] = bytes
        self.links: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start a new run of the agent, and of the server's half."""
        self.pulls = Pulls(self.services.database, files=self.files, transfers=self.transfers)
        self.fetches, self.offers = Fetches(), Offers()
        self.commands = FileCommands(fetches=self.fetches, offers=self.offers, fill=self.fill, who=lambda: self.agent)

    def fill(self, text: str) -> str:
        return text.replace("$tmp", str(self.folder / "tmp"))

    async def send(self, message: FromAgent) -> None:
        """Carry the agent's messages up, and the server's answers down."""
        if len(self.messages) >= self.patience:
            await asyncio.Event().wait()
        self.messages.append(message)
        match message:
            case WantArtefact():
                self.fetches.received(await self._chunk(message))
            case FileOffer():
                self.offers.received(await self.pulls.offered(self.agent, message))
            case FileChunk():
                damaged = msgspec.structs.replace(message, data=self.damage(message.data))
                answer = await self.pulls.received(self.agent, damaged)
                if answer is not None:
                    self.offers.received(answer)
            case _:
                raise AssertionError(message)

    async def _chunk(self, want: WantArtefact) -> ArtefactChunk:
        try:
            chunk = await self.files.chunk(want.sha256, want.offset)
        except NotFound as error:
            return ArtefactChunk(sha256=want.sha256, offset=want.offset, size=-1, data=b"", problem=str(error))
        return msgspec.structs.replace(chunk, data=self.damage(chunk.data))

    def link(self) -> None:
        live = cast("LiveLink", self)
        self.links = [asyncio.create_task(self.fetches.run(live)), asyncio.create_task(self.offers.run(live))]

    async def cut(self) -> None:
        for task in self.links:
            task.cancel()
        await asyncio.gather(*self.links, return_exceptions=True)
        await self.pulls.left(self.agent)

    async def run(self, cmd: str, *, again: bool = False, **arguments: Any) -> NodeFile:
        command = self.commands.commands()[cmd]
        work = command.resume if again else command.run
        assert work is not None
        outcome = await work(JobOffer(id="job", cmd=cmd, args=arguments))
        return msgspec.json.decode(outcome.data, type=NodeFile)

    async def put(self, path: Path, *, sha256: str = DIGEST, **arguments: Any) -> NodeFile:
        return await self.run("put_file", path=str(path), sha256=sha256, **arguments)

    async def get(self, path: Path, *, again: bool = False) -> NodeFile:
        return await self.run("get_file", again=again, path=str(path))

    def left(self) -> list[str]:
        """Partial files on the node."""
        return [path.name for path in self.folder.rglob(".qd-*")]
