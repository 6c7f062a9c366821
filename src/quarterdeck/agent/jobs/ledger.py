"""The job ledger: the jobs that this node has taken and their results, durable before they are reported.

It writes outside of the event loop, and collects what arrives during a write into one transaction. Owns the file
(`records.py`) and, in memory, the jobs whose result the server does not have yet; so a damaged file is set aside and
those jobs are written into the new one. Never decides what is run or sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from quarterdeck.agent.jobs.records import Record, RecordFile
from quarterdeck.kit.tasks import own_cancellation
from quarterdeck.model.errors import StorageCorrupt, Unavailable
from quarterdeck.model.jobs import JobResult

log = logging.getLogger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: how often old records are removed, while there are writes
FORGET_INTERVAL_S = 600.0


class _Write:
    """The records that one caller wants to write."""

    def __init__(self, records: Sequence[Record], stored: Sequence[str]) -> None:
        self.records = tuple(records)
        self.stored = tuple(stored)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Ledger:
    """The ledger in the file at `path`. Each method raises `Unavailable`, without effect, when the disk refuses it."""

    def __init__(self, path: Path) -> None:
        self._file = RecordFile(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="job-ledger")
        self._live: dict[str, Record] = {}  # by id, in the order of acceptance
        self._writes: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None
        self._settling: dict[str, asyncio.Event] = {}
        self._forgot_at = 0.0

    async def open(self) -> tuple[Record, ...]:
        """Read the file; return the jobs whose result the server does not have, in the order of acceptance."""
        records = await self._aside(self._read)
        self._live = {record.offer.id: record for record in records}
        return tuple(records)

    async def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return the records of those of these jobs that are known, by id."""
        found = {id_: self._live[id_] for id_ in ids if id_ in self._live}
        missing = [id_ for id_ in ids if id_ not in found]
        return found | await self._aside(self._find, missing) if missing else found

    async def put(self, records: Sequence[Record]) -> None:
        """Write all of these records or none; return when they are on disk."""
        await self._submit(_Write(records, ()))

    async def stored(self, ids: Sequence[str]) -> None:
        """Record that the server has the results of these jobs."""
        if known := [id_ for id_ in ids if id_ in self._live]:
            await self._submit(_Write((), known))

    def unsent(self) -> tuple[JobResult, ...]:
        """Return the results that the server does not have, according to this node."""
        return tuple(record.result for record in self._live.values() if record.result is not None)

    async def settled(self, id_: str) -> None:
        """Wait until the server has this job's result."""
        await self._settling.setdefault(id_, asyncio.Event()).wait()

    async def close(self) -> None:
        """Finish writing and close the file."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._aside(self._file.close)
        self._thread.shutdown()

    async def _submit(self, write: _Write) -> None:
        self._writes.append(write)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await asyncio.shield(write.done)  # a cancelled caller does not undo it

    async def _write_all(self) -> None:
        while self._writes:
            writes, self._writes = self._writes, []
            await self._write(writes)

    async def _write(self, writes: Sequence[_Write]) -> None:
        try:
            with own_cancellation():
                await self._aside(self._commit, writes, tuple(self._live.values()))
        except Exception as error:  # noqa: BLE001  (each of the callers hears of it)
            if len(writes) > 1 and not isinstance(error, Unavailable):  # the content of one of them is at fault
                for write in writes:
                    await self._write((write,))
                return
            for write in writes:
                write.done.set_exception(error)
                write.done.exception()  # its caller may have been cancelled
            return
        for write in writes:
            self._note(write)
            write.done.set_result(None)

    def _note(self, write: _Write) -> None:
        for record in write.records:
            self._live[record.offer.id] = record
        for id_ in write.stored:
            self._live.pop(id_, None)
            if settling := self._settling.pop(id_, None):
                settling.set()

    # ── in the ledger's thread ───────────────────────────────────────────────────────────────────────────────────────
    async def _aside(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _read(self) -> list[Record]:
        try:
            return self._file.live()
        except StorageCorrupt as error:
            self._set_aside(error)
            return self._file.live()

    def _find(self, ids: Sequence[str]) -> dict[str, Record]:
        try:
            return self._file.find(ids)
        except StorageCorrupt as error:
            self._set_aside(error)
            self._file.write(tuple(self._live.values()))
            return self._file.find(ids)

    def _commit(self, writes: Sequence[_Write], live: Sequence[Record]) -> None:
        records = [record for write in writes for record in write.records]
        stored = [id_ for write in writes for id_ in write.stored]
        now = time.time()
        try:
            self._file.write(records, stored, now=now)
        except StorageCorrupt as error:
            self._set_aside(error)
            self._file.write((*live, *records), stored, now=now)
        if now - self._forgot_at > FORGET_INTERVAL_S or now < self._forgot_at:
            self._forgot_at = now
            self._forget(now)

    def _forget(self, now: float) -> None:
        try:
            self._file.forget(now)
        except Unavailable as error:  # the caller's records are written; this is tried again
            log.warning("old jobs are not forgotten yet: %s", error)

    def _set_aside(self, error: StorageCorrupt) -> None:
        try:
            aside = self._file.set_aside()
        except OSError as failure:
            raise self._file.fault(failure) from failure
        log.error("%s It is set aside as %s; jobs that only it knew are LOST.", error, aside)
