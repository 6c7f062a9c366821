"""One agent's live link: reads what the agent reports, sends it what it should know, until either side ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from quarterdeck.link.messages import (
    ArtefactChunk,
    Desired,
    FileChunk,
    FileOffer,
    FileStored,
    FromAgent,
    Heartbeat,
    Hello,
    JobResults,
    JobsStarted,
    JobsTaken,
    MessagesFound,
    NewCertificate,
    Refused,
    RenewCertificate,
    ResultsStored,
    ToAgent,
    UnknownMessage,
    WantArtefact,
    WantFile,
)
from quarterdeck.link.race import until_first
from quarterdeck.link.wire import Stream
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadFrame, NotFound, QuarterdeckError, StorageCorrupt, Unavailable
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.jobs.jobs import JobReport, NextJobs
from quarterdeck.server.jobs.upcoming import Upcoming
from quarterdeck.server.messages.questions import Questions

log = logging.getLogger(__name__)

#: how long a parting word may take
_FAREWELL_S = 1.0
#: messages about jobs that wait to be stored; an agent that sends more has to wait
_JOB_REPORTS = 64
#: messages about contents that wait to be answered; an agent that sends more has to wait
_CONTENTS = 64


class SessionHandler(Protocol):
    """What a session asks of the fleet."""

    async def received(self, agent: AgentIdentity, message: FromAgent) -> None: ...

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate: ...

    async def artefact(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk: ...

    async def file_offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored: ...

    async def file_received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None: ...

    async def next_jobs(self, agent: AgentIdentity, number: int) -> NextJobs: ...

    async def jobs_reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]: ...


class Session:
    """The link of `agent`. `desired` gives its present desired set; `seen` is told of every message."""

    def __init__(
        self,
        agent: AgentIdentity,
        stream: Stream[FromAgent, ToAgent],
        *,
        handler: SessionHandler,
        desired: Callable[[], Awaitable[DesiredSet]],
        seen: Callable[[], None],
    ) -> None:
        self.agent = agent
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._handler = handler
        self._desired = desired
        self._seen = seen
        self._stale = asyncio.Event()
        self._stale.set()
        self.jobs = Upcoming(lambda number: handler.next_jobs(agent, number))
        self._job_reports = asyncio.Queue[JobReport](_JOB_REPORTS)
        self._contents = asyncio.Queue[WantArtefact | FileOffer | FileChunk](_CONTENTS)
        self._questions = Questions(stream)

    def push(self) -> None:
        """Send the desired set anew. Pushes that come while one is under way become one."""
        self._stale.set()

    async def ask_messages(self, wanted: MessageFilter, wait_s: float) -> MessagePage:
        """What the agent has of these messages; the errors it means, `TimedOut`, `Unavailable` when it leaves."""
        return await self._questions.ask(wanted, wait_s)

    def end(self, error: QuarterdeckError) -> None:
        """End the link, telling the agent why."""
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # taken note of: whoever serves the stream raises it

    async def run(self) -> None:
        """Serve until the agent leaves (returns) or the link must end (raises)."""
        try:
            await until_first(
                self._receive(),
                self._push(),
                self._push_jobs(),
                self._store_jobs(),
                self._exchange_contents(),
                self._questions.run(),
                self.ended,
            )
        finally:
            self._questions.end()
            if self.ended.done():
                await self._farewell()

    async def _farewell(self) -> None:
        error = self.ended.exception()
        if isinstance(error, QuarterdeckError):
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await self._stream.send(Refused(code=error.code, reason=str(error)))
            except (QuarterdeckError, TimeoutError) as failure:
                log.debug("agent %s did not hear why its link ended: %s", self.agent.agent_id, failure)

    async def _push(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._stream.send(Desired(desired=await self._desired()))

    async def _push_jobs(self) -> None:
        while True:
            for message in await self.jobs.next():
                await self._stream.send(message)

    async def _store_jobs(self) -> None:
        """Stores what came while the last was stored in one go; the results that are on disk are confirmed."""
        while True:
            reports = [await self._job_reports.get()]
            while not self._job_reports.empty():
                reports.append(self._job_reports.get_nowait())
            stored = await self._handler.jobs_reported(self.agent, reports)
            if stored:
                await self._stream.send(ResultsStored(ids=stored))

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._stream.receive()
            except UnknownMessage as error:
                log.info("agent %s is newer than this server: %s", self.agent.agent_id, error)
                continue
            if message is None:
                return
            self._seen()
            await self._dispatch(message)

    async def _dispatch(self, message: FromAgent) -> None:
        match message:
            case Heartbeat():
                pass
            case Hello():
                raise BadFrame("Expected one Hello at the start of the connection, found a second one.")
            case WantArtefact() | FileOffer() | FileChunk():
                await self._contents.put(message)
            case RenewCertificate():
                await self._stream.send(await self._handler.renew(self.agent, message.csr_pem))
            case JobsTaken() | JobsStarted() | JobResults():
                await self._job_reports.put(message)
            case MessagesFound():
                self._questions.answered(message)
            case _:
                await self._report(message)

    async def _exchange_contents(self) -> None:
        """Large things go beside all else: neither jobs nor reports wait for the disk, or for a slow link."""
        while True:
            match await self._contents.get():
                case WantArtefact() as want:
                    await self._stream.send(await self._artefact(want))
                case FileOffer() as offer:
                    await self._stream.send(await self._handler.file_offered(self.agent, offer))
                case FileChunk() as chunk:
                    answer = await self._handler.file_received(self.agent, chunk)
                    if answer is not None:
                        await self._stream.send(answer)

    async def _artefact(self, want: WantArtefact) -> ArtefactChunk:
        try:
            return await self._handler.artefact(self.agent, want.sha256, want.offset)
        except (NotFound, StorageCorrupt) as error:
            problem = str(error)
            return ArtefactChunk(sha256=want.sha256, offset=want.offset, size=-1, data=b"", problem=problem)

    async def _report(self, message: FromAgent) -> None:
        try:
            _check(message)
            await self._handler.received(self.agent, message)
        except Unavailable:
            raise  # the agent reports everything anew when it reconnects
        except QuarterdeckError as error:
            log.warning("a report of agent %s was not accepted: %s", self.agent.agent_id, error)


def _check(message: FromAgent) -> None:
    """Whether what is said can be stored and read again, so that no node spoils what is stored with others'."""
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=type(message))
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:  # a number that is none, say, which JSON has not
        raise BadFrame(f"A {type(message).__name__} that cannot be stored: {error}.") from error
