"""The jobs of this node: what the server offers is taken once, or answered; the parts of `agent/jobs/` joined.

Everything the server says of jobs goes through one inbox, in order. Offers that the ledger cannot write down, because
the disk is full, are not taken: they wait here and are tried again, as long as they have not expired.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from quarterdeck.agent.commands.builtin import builtin_commands
from quarterdeck.agent.commands.command import Command
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs import executor
from quarterdeck.agent.jobs.exchange import Exchange
from quarterdeck.agent.jobs.executor import Executor
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.records import Record, Stage
from quarterdeck.link.messages import JobOffers, KillJobs, ResultsStored
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState

log = logging.getLogger(__name__)

#: how long a restart waits for the server to store its result; afterwards the next life sends it
RESTART_WAIT_S = 5.0
_LOST = "The node has no record of this job, though it had taken it: its job ledger was lost or damaged."
_EXPIRED = "It expired before this node could take it."


class _Offered(msgspec.Struct, frozen=True):
    """An offer, and when it is too late to take it, by the monotonic clock."""

    job: JobOffer
    deadline: float


class Jobs:
    """All jobs of this node. `home` is the agent's folder; `commands` come on top of the built-in ones.

    `noted` is told the id of each job whose result is in the ledger; `recovered`, once, those that an earlier life left
    running and that are taken up now.
    """

    def __init__(
        self,
        home: Path,
        *,
        config: JobsConfig,
        commands: Mapping[str, Command] | None = None,
        noted: Callable[[str], None] = lambda _: None,
        recovered: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._ledger = Ledger(home / "jobs.db")
        self.exchange = Exchange(self._ledger.unsent)
        self._restart: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._executor = Executor(
            builtin_commands(kill=self._kill, restart=self._ask_restart) | dict(commands or {}),
            config=config,
            ledger=self._ledger,
            started=self.exchange.started,
            finished=self._finished,
        )
        self._noted = noted
        self._recovered = recovered
        self._open = asyncio.Event()
        self._level = logging.WARNING  # of the complaint that nothing can be taken: once each time
        self._inbox: list[JobOffers | KillJobs | ResultsStored] = []
        self._news = asyncio.Event()
        self._offers: dict[str, _Offered] = {}  # not yet taken
        self._ended: set[str] = set()  # of those, which were killed meanwhile

    def received(self, message: JobOffers | KillJobs | ResultsStored) -> None:
        """The server said this. Never waits."""
        if isinstance(message, JobOffers):
            now = time.monotonic()
            for job in message.jobs:
                within = float("inf") if job.expires_in_s is None else job.expires_in_s
                self._offers.setdefault(job.id, _Offered(job, now + within))
        else:
            self._inbox.append(message)
        self._news.set()

    async def linked(self, live: LiveLink) -> None:
        """Tell the server of jobs while a link is up; not before the ledger of an earlier life has been read."""
        await self._open.wait()
        await self.exchange.run(live)

    async def run(self) -> None:
        """For ever: take up what an earlier life left, then what the server says."""
        while not self._open.is_set():
            await self._recover()
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self._handle():
                await self._pause()

    async def restarting(self) -> None:
        """Returns when a job asked for the agent's restart, and its result is safe with the server, or here."""
        id_ = await self._restart
        try:
            async with asyncio.timeout(RESTART_WAIT_S):
                await self._ledger.settled(id_)
        except TimeoutError:
            log.warning("restarting; the server has not stored yet that the job '%s' asked for it", id_)

    async def end_all(self, reason: str) -> None:
        """End everything that waits or runs here, also what an earlier life left. `reason` follows "It was"."""
        await self._open.wait()
        self._executor.end_all(reason)

    async def close(self) -> None:
        """End what runs, finish writing."""
        await self._executor.close()
        await self._ledger.close()

    async def _recover(self) -> None:
        try:
            records = await self._ledger.open()
        except Unavailable as error:
            log.log(self._level, "no job can be taken yet: %s", error)
            self._level = logging.DEBUG
            await asyncio.sleep(executor.RETRY_S)
            return
        self._open.set()
        unfinished = [record for record in records if record.result is None]
        self._recovered([record.offer.id for record in unfinished if self._executor.allows(record.offer.cmd)])
        for record in unfinished:
            self._executor.recover(record)

    async def _pause(self) -> None:
        """Something could not be written: try again soon."""
        await asyncio.sleep(executor.RETRY_S)
        self._news.set()

    async def _handle(self) -> bool:
        """All that came; whether the ledger could write it."""
        inbox, self._inbox = self._inbox, []
        stored = [id_ for message in inbox if isinstance(message, ResultsStored) for id_ in message.ids]
        killed = [id_ for message in inbox if isinstance(message, KillJobs) for id_ in message.ids]
        self.exchange.stored(stored)
        try:
            await self._ledger.stored(stored)
        except Unavailable as error:
            log.debug("results are sent again over the next link: %s", error)
        self._ended |= {id_ for id_ in killed if id_ in self._offers}
        written = True
        try:
            await self._take(tuple(self._offers.values()))
        except Unavailable as error:
            log.log(self._level, "%d jobs are not taken yet: %s", len(self._offers), error)
            self._level, written = logging.DEBUG, False
        else:
            self._level = logging.WARNING
        for id_ in killed:
            self._kill(id_, "ended by request")
        return written

    async def _take(self, offers: Sequence[_Offered]) -> None:
        """Answer what is known, write down what is new, then begin it, tell the server, or both."""
        known = await self._ledger.find([offered.job.id for offered in offers])
        fresh = [self._decide(offered) for offered in offers if offered.job.id not in known]
        try:
            if fresh:
                await self._ledger.put(fresh)
        except Unavailable:
            self._executor.withdraw(record.offer.id for record in fresh if record.stage is Stage.RUNNING)
            raise
        for offered in offers:
            del self._offers[offered.job.id]
            self._ended.discard(offered.job.id)
        for record in (*known.values(), *fresh):
            if record.result is not None:
                self.exchange.finished(record.result)
            else:
                self.exchange.taken(record.offer.id)
        for record in fresh:
            if record.stage is Stage.RUNNING:
                self._executor.begin(record.offer)
            elif record.stage is Stage.TAKEN:
                self._executor.wait(record.offer)

    def _decide(self, offered: _Offered) -> Record:
        """What becomes of a job that is new here: its result at once, or it runs, or it waits."""
        job = offered.job
        if job.taken:
            result = JobResult(id=job.id, cmd=job.cmd, state=JobState.LOST, reason=_LOST)
        elif job.id in self._ended:
            result = JobResult(id=job.id, cmd=job.cmd, state=JobState.KILLED, reason="It was ended before it began.")
        elif time.monotonic() >= offered.deadline:
            result = JobResult(id=job.id, cmd=job.cmd, state=JobState.EXPIRED, reason=_EXPIRED)
        else:
            result = self._executor.verdict(job)
        if result is not None:
            return Record(offer=job, stage=Stage.DONE, result=result)
        if self._executor.admit(job):
            return Record.running(job)
        return Record(offer=job, stage=Stage.TAKEN)

    def _finished(self, result: JobResult) -> None:
        self.exchange.finished(result)
        self._noted(result.id)

    def _kill(self, id_: str, reason: str) -> bool:
        return self._executor.kill(id_, reason)

    def _ask_restart(self, id_: str) -> None:
        if not self._restart.done():
            self._restart.set_result(id_)
