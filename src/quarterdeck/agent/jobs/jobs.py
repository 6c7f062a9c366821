"""The jobs of this node: takes or answers each offer of the server once, and connects the parts of `agent/jobs/`.

All messages of the server about jobs go through one inbox, in order. Offers that the ledger cannot record, because
the disk is full, are not taken: they wait here and are tried again until they expire.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from quarterdeck.agent.commands.builtin import builtin_commands
from quarterdeck.agent.commands.command import Command
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.exchange import Exchange
from quarterdeck.agent.jobs.executor import LOST, Executor, fault
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.records import Record, Stage
from quarterdeck.agent.jobs.waits import WAITS, Waits
from quarterdeck.agent.processes.unclaimed import Fate, Judge
from quarterdeck.kit.race import within
from quarterdeck.link.conversation import Conversation, Delegated
from quarterdeck.link.messages import JobOffers, KillJobs, ResultsStored
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState

log = logging.getLogger(__name__)

_EXPIRED = "It expired before this node could take it."


class _Offered(msgspec.Struct, frozen=True):
    """An offer, and the time at which it expires, by the monotonic clock."""

    job: JobOffer
    deadline: float


class Jobs:
    """All jobs of this node. `home` is the agent's folder; `commands` are added to the built-in ones.

    `noted` is called with the id of each job whose result is in the ledger; `recovered`, once, with the judge of the
    programs that an earlier run of the agent left; `unfinished`, once, with the ids of its unfinished jobs;
    `end_unknown` ends a program without a record, and returns whether it exists.
    """

    takes = (JobOffers, KillJobs, ResultsStored)

    def __init__(
        self,
        home: Path,
        *,
        config: JobsConfig,
        commands: Mapping[str, Command] | None = None,
        noted: Callable[[str], None] = lambda _: None,
        recovered: Callable[[Judge], None] = lambda _: None,
        unfinished: Callable[[Sequence[str]], None] = lambda _: None,
        end_unknown: Callable[[str, str], bool] = lambda _id, _why: False,
        waits: Waits = WAITS,
    ) -> None:
        self._waits = waits
        self._ledger = Ledger(home / "jobs.db")
        self.exchange = Exchange(self._ledger.unsent, linger_s=waits.linger_s)
        self._restart: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._executor = Executor(
            builtin_commands(kill=self._kill, restart=self._ask_restart) | dict(commands or {}),
            config=config,
            ledger=self._ledger,
            started=self.exchange.started,
            finished=self._finished,
            retry_s=waits.retry_s,
        )
        self._noted = noted
        self._recovered = recovered
        self._unfinished = unfinished
        self._end_unknown = end_unknown
        self._open = asyncio.Event()
        self._level = logging.WARNING  # of the warning that nothing can be taken: logged once each time
        self._inbox: list[JobOffers | KillJobs | ResultsStored] = []
        self._news = asyncio.Event()
        self._offers: dict[str, _Offered] = {}  # not yet taken
        self._ended: set[str] = set()  # offers that were killed before they were taken

    def open(self, link: LiveLink) -> Conversation:
        """Open a conversation on a new link."""
        return Delegated(self.received, partial(self.linked, link))

    def received(self, message: JobOffers | KillJobs | ResultsStored) -> None:
        """Take a message of the server about jobs. Never waits."""
        if isinstance(message, JobOffers):
            now = time.monotonic()
            for job in message.jobs:
                within = float("inf") if job.expires_in_s is None else job.expires_in_s
                self._offers.setdefault(job.id, _Offered(job, now + within))
        else:
            self._inbox.append(message)
        self._news.set()

    async def linked(self, live: LiveLink) -> None:
        """Send news of jobs while a link is up, after the ledger of an earlier run has been read."""
        await self._open.wait()
        await self.exchange.run(live)

    async def run(self) -> None:
        """Recover the jobs of an earlier run, then handle messages of the server, without end."""
        while not self._open.is_set():
            await self._recover()
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self._handle():
                await self._pause()

    async def restarting(self) -> None:
        """Return when a job has asked for a restart of the agent, and its result is stored by the server or here."""
        id_ = await self._restart
        if not await within(self._waits.restart_s, self._ledger.settled(id_)):
            log.warning("restarting; the server has not yet stored the result of the job '%s' that asked for it", id_)

    async def end_all(self, reason: str) -> None:
        """End every job that waits or runs here, including those of an earlier run. `reason` follows "It was"."""
        await self._open.wait()
        self._executor.end_all(reason)

    async def close(self) -> None:
        """Cancel running jobs and finish writing."""
        await self._executor.close()
        await self._ledger.close()

    async def _recover(self) -> None:
        try:
            records = await self._ledger.open()
        except Unavailable as error:
            log.log(self._level, "no job can be taken yet: %s", error)
            self._level = logging.DEBUG
            await asyncio.sleep(self._waits.retry_s)
            return
        self._open.set()
        unfinished = [record for record in records if record.result is None]
        self._recovered(self._judge)
        self._unfinished([record.offer.id for record in unfinished])
        for record in unfinished:
            self._each(record, self._executor.recover)

    async def _judge(self, ids: Sequence[str]) -> dict[str, Fate]:
        """Decide what happens to the programs of these jobs. A program without a record of its job is not ended."""
        while True:
            try:
                known = await self._ledger.find(ids)
            except Unavailable as error:
                log.debug("the programs of an earlier run cannot be judged yet: %s", error)
                await asyncio.sleep(self._waits.retry_s)
            else:
                return {id_: self._fate(known.get(id_)) for id_ in ids}

    def _fate(self, record: Record | None) -> Fate:
        if record is None:
            return Fate.UNKNOWN
        if record.result is not None:  # a damaged record has such a result, and its program is unknown
            return Fate.UNKNOWN if record.result.state is JobState.LOST else Fate.OVER
        return Fate.WANTED if self._executor.allows(record.offer.cmd) else Fate.OVER

    async def _pause(self) -> None:
        """Wait a moment after a failed write, then try again."""
        await asyncio.sleep(self._waits.retry_s)
        self._news.set()

    async def _handle(self) -> bool:
        """Handle everything in the inbox; return False when the ledger could not be written."""
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
        """Answer known jobs, record new ones, then start them, report them to the server, or both.

        A job that cannot be taken becomes an ERROR; the others are taken.
        """
        known: Mapping[str, Record] = {}
        fresh: Sequence[Record] = ()
        try:
            known, fresh = await self._write_down(offers)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 (it is the job's result, and logged there)
            if len(offers) > 1:
                for offered in offers:
                    await self._take((offered,))
                return
            fresh = [_failed(offered.job, error) for offered in offers]
        for offered in offers:
            del self._offers[offered.job.id]
            self._ended.discard(offered.job.id)
        for record in (*known.values(), *fresh):
            if record.result is not None:
                self.exchange.finished(record.result)
            else:
                self.exchange.taken(record.offer.id)
        for record in fresh:
            self._each(record, self._begin)

    async def _write_down(self, offers: Sequence[_Offered]) -> tuple[Mapping[str, Record], Sequence[Record]]:
        """Return the known records of these jobs and those written for the others. When it raises, none was taken."""
        known = await self._ledger.find([offered.job.id for offered in offers])
        fresh: list[Record] = []
        try:
            fresh.extend(self._decide(offered) for offered in offers if offered.job.id not in known)
            if fresh:
                await self._ledger.put(fresh)
        except Exception:
            self._executor.withdraw(
                record.offer.id for record in fresh if record.stage is Stage.RUNNING and not record.offer.taken
            )
            raise
        return known, fresh

    def _begin(self, record: Record) -> None:
        """Continue with a job that was just recorded."""
        if record.stage is Stage.RUNNING and record.offer.taken:
            self._executor.recover(record)
        elif record.stage is Stage.RUNNING:
            self._executor.begin(record.offer)
        elif record.stage is Stage.TAKEN:
            self._executor.wait(record.offer)

    def _each(self, record: Record, go_on: Callable[[Record], None]) -> None:
        """Continue with one job of several; when that fails it becomes an ERROR, and the others continue."""
        try:
            go_on(record)
        except Exception as error:  # noqa: BLE001 (it is the job's result, and logged there)
            self._executor.fail(record.offer, error)

    def _decide(self, offered: _Offered) -> Record:
        """Return the record of a new job: with a result, as running, or as waiting."""
        job = offered.job
        if job.taken and self._executor.outlives(job.cmd):
            return Record.running(job)
        if job.taken:
            result = JobResult(id=job.id, cmd=job.cmd, state=JobState.LOST, reason=LOST)
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
        return self._executor.kill(id_, reason) or self._end_unknown(id_, reason)

    def _ask_restart(self, id_: str) -> None:
        if not self._restart.done():
            self._restart.set_result(id_)


def _failed(job: JobOffer, error: Exception) -> Record:
    """Return the record of a job that could not be stored. Offered again, it fails again."""
    log.error("the job '%s' (%s) cannot be taken because of an internal error", job.id, job.cmd, exc_info=error)
    return Record(offer=job, stage=Stage.DONE, result=fault(job, error))
