"""Receives files from nodes, chunk by chunk, as the server requests them.

A node may send only the file of one of its `get_file` jobs that has no result yet. `Files` keeps the bytes received
under their hash and node, so that a transfer resumes where it stopped, whichever process was killed. Owns the transfers
of connected agents. It never starts one: the node offers the file.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import FileChunk, FileOffer, FileStored, WantFile
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.files import is_sha256
from quarterdeck.model.jobs import is_id
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.files.eviction import source_of
from quarterdeck.server.files.files import Arrival, Files
from quarterdeck.server.files.transfers import Transfers
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state.database import Database

#: the command whose jobs send files
COMMAND = "get_file"
_Key = tuple[str, str]  # agent id, sha256


class Pulls:
    """Receives files from agents."""

    def __init__(self, database: Database, *, files: Files, transfers: Transfers) -> None:
        self._database = database
        self._files = files
        self._transfers = transfers
        self._arrivals: dict[_Key, Arrival] = {}
        self._sends: dict[tuple[str, str], str] = {}  # agent id, job → the sha256 of the file that it sends
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by agent id

    async def offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored:
        """Answer a node that offers a file: where to start, that it is stored already, or why it is refused."""
        if not is_sha256(offer.sha256) or not await self._expected(agent, offer.job):
            return FileStored(sha256=offer.sha256, problem="The server did not ask this node for it.")
        async with self._lock(agent):
            try:
                await self._one_of(agent, offer)
                arrival = await self._arrival(agent, offer)
                if arrival is None or (not arrival.missing and await self._files.append(arrival, b"")):
                    await self._leave((agent.agent_id, offer.sha256))
                    return FileStored(sha256=offer.sha256)
            except QuarterdeckError as error:
                return await self._refuse(agent, offer.sha256, error)
            async with arrival.busy:  # bytes received over its earlier link may still be being written
                return WantFile(sha256=offer.sha256, offset=arrival.part.size)

    async def received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None:
        """Store the next bytes and return the answer to the node. A chunk without bytes abandons the transfer.

        Return None when the bytes were not requested.
        """
        key = (agent.agent_id, chunk.sha256)
        async with self._lock(agent):
            arrival = self._arrivals.get(key)
            if not chunk.data:
                await self._leave(key)
                return None
            if arrival is None or chunk.offset != arrival.part.size:
                return None
            at = arrival.part.size + len(chunk.data)
            self._transfers.note(agent, chunk.sha256, at=at, size=arrival.size, to_node=False)
            try:
                if self._files.has(chunk.sha256) or await self._files.append(arrival, chunk.data):
                    await self._leave(key)
                    return FileStored(sha256=chunk.sha256)
            except QuarterdeckError as error:
                return await self._refuse(agent, chunk.sha256, error)
            return WantFile(sha256=chunk.sha256, offset=arrival.part.size)

    async def left(self, agent: AgentIdentity) -> None:
        """Close the transfers of an agent whose link has ended; the bytes received are kept."""
        async with self._lock(agent):
            for key in [key for key in self._arrivals if key[0] == agent.agent_id]:
                await self._leave(key)

    # ── internals ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _lock(self, agent: AgentIdentity) -> asyncio.Lock:
        """Return the lock that lets calls of an agent's old link finish before those of its new one."""
        return self._locks.setdefault(agent.agent_id, asyncio.Lock())

    async def _one_of(self, agent: AgentIdentity, offer: FileOffer) -> None:
        """Close the file that the job sent before, if it offers another one: a job sends one file at a time."""
        job = (agent.agent_id, offer.job)
        before = self._sends.get(job, offer.sha256)
        self._sends[job] = offer.sha256
        if before != offer.sha256 and before not in self._sent_by(agent):
            await self._leave((agent.agent_id, before))

    def _sent_by(self, agent: AgentIdentity) -> set[str]:
        return {sha256 for (agent_id, _), sha256 in self._sends.items() if agent_id == agent.agent_id}

    async def _arrival(self, agent: AgentIdentity, offer: FileOffer) -> Arrival | None:
        """Return the content to receive, or None when it is complete, whoever sent it."""
        key = (agent.agent_id, offer.sha256)
        if self._files.has(offer.sha256):
            await self._files.size(offer.sha256)  # records the use, and verifies it
            return None
        if key not in self._arrivals:
            self._arrivals[key] = await self._files.begin(
                offer.sha256, size=offer.size, source=source_of(agent.key), name=offer.name
            )
        return self._arrivals[key]

    async def _expected(self, agent: AgentIdentity, job_id: str) -> bool:
        if not is_id(job_id):
            return False
        async with self._database.read() as transaction:
            return await _is_pulled(transaction, job_id, agent.key)

    async def _refuse(self, agent: AgentIdentity, sha256: str, error: QuarterdeckError) -> FileStored:
        await self._leave((agent.agent_id, sha256))
        return FileStored(sha256=sha256, problem=str(error))

    async def _leave(self, key: _Key) -> None:
        for job in [job for job, sha256 in self._sends.items() if (job[0], sha256) == key]:
            del self._sends[job]
        arrival = self._arrivals.pop(key, None)
        if arrival is not None:
            await self._files.release(arrival)


async def _is_pulled(transaction: AsyncConnection, job_id: str, key: NodeKey) -> bool:
    """Return whether this is a job of the node that sends a file and has no result yet."""
    command = await rows.find_command(transaction, job_id)
    if command is None or command.cmd != COMMAND:
        return False
    return any(row.key == key for row in await rows.find_unfinished(transaction, number=command.number))
