"""The node's message log: takes what processes print, numbers it, stores it, forwards it, and finds it again.

Owns the queue, bounded in bytes, between the event loop and the one thread that stores, and a second thread that
reads, so that a search through all files does not delay what is printed meanwhile. While the writing thread or a job's
follower is only slow, `put` waits: pipes fill, and processes are slowed down. While the disk refuses writes, `put` does
not wait, because a full disk must not stop a process: messages that then have no space in memory are counted for each
job, and a message of level 8 in the job's log states how many as soon as there is space. Forwarding continues
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from quarterdeck.agent.messages.forward import Forwarder
from quarterdeck.agent.messages.ids import MessageIds
from quarterdeck.agent.messages.pacing import Pacing
from quarterdeck.agent.messages.reader import PAGE_BYTES
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.messages.store import FILE_BYTES, TOTAL_BYTES, MessageStore
from quarterdeck.columns.outlet import Outlet
from quarterdeck.kit.race import within
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import MESSAGES_TABLE, Level, MessageFilter, MessagePage

#: the most that waits for the thread, the most that it takes at once, and how long messages may wait for others
QUEUE_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 2 * 1024 * 1024
WAIT_S = 0.1
#: the most of these bytes that may wait for one process, so that lines of other processes are stored soon
SOURCE_BYTES = 2 * 1024 * 1024
#: wait after the disk refused a batch
RETRY_S = 2.0
#: jobs whose dropped messages are counted separately; those of further jobs are counted together
_DISTINCT = 1000

_T = TypeVar("_T")
_Put = tuple[Run, Routing, bytes | None]

log = logging.getLogger(__name__)


class MessageLog:
    """Owns `folder`. Created and used inside a running event loop, in which `keep` must run."""

    def __init__(
        self,
        folder: Path,
        *,
        outlet: Outlet,
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        queue_bytes: int = QUEUE_BYTES,
        retry_s: float = RETRY_S,
    ) -> None:
        self._store = MessageStore(folder, file_bytes=file_bytes, total_bytes=total_bytes, lose=outlet.lose)
        self._ids = MessageIds(folder / "next_id", last_stored=self._store.last_id)
        self._forwarder = Forwarder(outlet)
        self.pacing = Pacing()
        self._lose = outlet.lose
        self._queue_bytes = queue_bytes
        self._retry_s = retry_s
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="messages")
        self._writing = asyncio.Lock()
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="messages-read")
        self._reading = asyncio.Lock()
        self._waiting: deque[_Put] = deque()
        self._waiting_bytes = 0
        self._waiting_of = Counter[Source]()
        self._unstored: list[Run] = []  # numbered and forwarded, but refused by the disk
        self._unstored_bytes = 0
        self._readings: dict[str, bytes | None] = {}  # stored together with them
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        self._put = self._handled = 0  # runs, since the start
        self._dropped: Counter[Source] = Counter()
        self.dropped = 0  #: messages that were not stored, since the start
        self._refused = False
        self._watchers: dict[asyncio.Event, MessageFilter] = {}

    async def put(self, run: Run, routing: Routing, *, reading: bytes | None = b"") -> None:
        """Take messages; those of a level that is not processed are ignored.

        `reading`: how far their process was read with these messages, stored together with them; None removes the
        entry, an empty one leaves it as it is.
        """
        run = run.only(routing.processed)
        if not len(run) and reading == b"":
            return
        if len(run):
            await self.pacing.wait_for_followers(run.source.job_id)
        while self._crowded(run.source):
            self._room.clear()
            await self._room.wait()
        size = run.size_bytes
        self._waiting.append((run, routing, reading))
        self._waiting_bytes += size
        self._waiting_of[run.source] += size
        self._put += 1
        self.pacing.printed(run.source.job_id, run.only(routing.kept).size_bytes)
        self._news.set()
        if self._waiting_bytes >= BATCH_BYTES:
            self._enough.set()
        for news, wanted in self._watchers.items():
            if run.source.may_match(wanted):
                news.set()

    @contextmanager
    def watch(self, wanted: MessageFilter) -> Generator[asyncio.Event]:
        """Return an event that is set when `select` may find more matching messages than before."""
        news = asyncio.Event()
        self._watchers[news] = wanted
        try:
            yield news
        finally:
            del self._watchers[news]

    async def written(self) -> None:
        """Wait until everything put so far is stored, or waits in memory because the disk refuses it."""
        place = self._put
        while self._handled < place:
            self._progress.clear()
            await self._progress.wait()

    def hurry(self) -> None:
        """Store what was put without waiting for more."""
        self._enough.set()

    async def select(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES, skip: bool = False) -> MessagePage:
        """Return the next page of matches, of about `page_bytes`; it misses nothing that was put before the call.

        `skip`: return the newest page behind the cursor instead, with the number of messages that it leaves out.
        """
        page = None
        newest = skip or wanted.newest_first
        if self._waiting_bytes >= BATCH_BYTES and not newest:  # in a flood the stored messages may fill a page
            page = await self._look(wanted, page_bytes)
        if page is None or page.cursor is None:
            await self.flush()
            page = await self._look(wanted, page_bytes, skip=skip)
        waiting, dropped = sum(map(len, self._unstored)), sum(self._dropped.values())
        if not (waiting and self._refused):  # else they are being stored at this moment
            return page
        words = f"{waiting} messages wait in memory and {dropped} were dropped: the disk refuses writes now."
        return msgspec.structs.replace(page, problems=(*page.problems, words))

    async def _look(self, wanted: MessageFilter, page_bytes: int, *, skip: bool = False) -> MessagePage:
        look = partial(self._store.look, wanted, page_bytes=page_bytes, skip=skip)
        select = partial(self._store.select, wanted, page_bytes=page_bytes, skip=skip)
        async with self._reading:
            page = await _on(self._read_thread, look)
            if page is None:
                page = await _on(self._write_thread, select)
        return page

    async def readings(self) -> dict[str, bytes]:
        """Return how far each process was read, as given to `put`, for those whose output is not read completely."""
        await self.flush()
        return await _on(self._write_thread, self._store.readings)

    async def delete(self, wanted: MessageFilter) -> int:
        """Delete all matching messages; return how many they were."""
        await self.flush()
        async with self._reading:  # nothing disappears from a page that is being found
            return await _on(self._write_thread, lambda: self._store.delete(wanted))

    async def flush(self) -> None:
        """Store what was put before the call, as far as the disk accepts it; do not wait for what is put meanwhile."""
        place = self._put
        async with self._writing:
            while self._handled < place:
                await self._write()

    async def keep(self) -> None:
        """Store and forward what was put, without end."""
        while True:
            await within(self._idle_s(), self._news.wait())
            if self._waiting:
                await within(WAIT_S, self._enough.wait())
            self._news.clear()
            self._enough.clear()
            async with self._writing:
                await self._write()
            if self._waiting:
                self._news.set()

    async def close(self) -> None:
        """Store and forward everything that waits; count and log what the disk refuses as lost."""
        await self.flush()
        async with self._reading:
            await _on(self._write_thread, self._end)
        self._read_thread.shutdown()
        self._write_thread.shutdown()
        lost = sum(map(len, self._unstored))
        if lost:
            log.error("%d messages were lost at shutdown: the disk refuses writes", lost)
            self._lose(_not_stored(lost))

    @property
    def stored(self) -> int:
        """Return the number of messages stored since the start."""
        return self._store.counts.stored

    @property
    def removed(self) -> int:
        """Return the number of messages removed since the start to make space, the oldest first."""
        return self._store.counts.removed

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _crowded(self, source: Source) -> bool:
        """Return whether the process must wait because of its own output; the output of others does not count."""
        mine = self._waiting_of[source]
        return mine >= SOURCE_BYTES or (mine > 0 and self._waiting_bytes >= self._queue_bytes)

    def _idle_s(self) -> float | None:
        """Return how many seconds may pass without work when no messages arrive."""
        if self._unstored or self._dropped:
            return self._retry_s
        return self._forwarder.due_s

    async def _write(self) -> None:
        """Hand the oldest messages of the queue to the thread, and wait for it."""
        taken: list[_Put] = []
        size = 0
        sizes = Counter[Source]()
        while self._waiting and size < BATCH_BYTES:
            taken.append(self._waiting.popleft())
            run = taken[-1][0]
            size += run.size_bytes
            sizes[run.source] += run.size_bytes
        refused = self._refused
        try:
            await _on(self._write_thread, lambda: self._store_and_forward(taken))
        finally:
            self._waiting_bytes -= size
            self._waiting_of -= sizes  # keeps only positive counts
            self._handled += len(taken)
            self._room.set()
            self._progress.set()
        if refused and not self._refused:  # what waited in memory can be found now
            for news in self._watchers:
                news.set()

    # ── on the thread that writes ────────────────────────────────────────────────────────────────────────────────────
    def _store_and_forward(self, taken: list[_Put]) -> None:
        if self._refused:  # there may be space again, before anything is dropped
            self._store_waiting()
        numbered = [(run.numbered(self._ids.take(len(run))), routing) for run, routing, _ in taken]
        self._readings |= {run.source.job_id: reading for run, _, reading in taken if reading != b""}
        for run, routing in numbered:
            self._wait_for_disk(run.only(routing.kept))
        if not self._refused:
            self._store_waiting()
        for run, routing in numbered:
            self._forwarder.add(run.only(routing.forwarded))
        if self._forwarder.due_s == 0:
            self._forwarder.flush()

    def _wait_for_disk(self, run: Run) -> None:
        """Add the run to those to be stored; drop and count it while the disk refuses and memory is full."""
        size = run.size_bytes
        if self._refused and self._unstored_bytes + size > self._queue_bytes:
            known = run.source in self._dropped or len(self._dropped) < _DISTINCT
            self._dropped[run.source if known else Source("")] += len(run)
            self.dropped += len(run)
            return
        self._unstored.append(run)
        self._unstored_bytes += size

    def _store_waiting(self) -> None:
        runs = self._unstored + [self._drop_notice(source, count) for source, count in self._dropped.items()]
        try:
            self._store.append(runs, self._readings)
        except StorageFull as error:
            if not self._refused:
                log.warning("messages wait in memory: %s", error)
            self._refused = True
            return
        if self._refused:
            log.info("messages are stored again; %d were dropped meanwhile", sum(self._dropped.values()))
        if self._dropped:
            self._lose(_not_stored(sum(self._dropped.values())))
        self._refused = False
        self._unstored, self._unstored_bytes, self._readings = [], 0, {}
        self._dropped.clear()

    def _drop_notice(self, source: Source, count: int) -> Run:
        """Return a message for the job's own log that states how many of its messages are missing."""
        text = f"{count} messages were dropped here: the disk took no more."
        run = Run(source, int(time.time() * 1000), [int(Level.OPS_ERROR)], [text.encode()], [0])
        return run.numbered(self._ids.take(1))

    def _end(self) -> None:
        self._forwarder.flush()
        self._store.close()
        self._ids.close()


def _not_stored(rows: int) -> Loss:
    """Return the loss of messages that the disk refused."""
    return Loss(table=MESSAGES_TABLE.name, reason=LossReason.DISK_FULL, rows=rows, time_ns=time.time_ns())


async def _on(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Run `work` on a thread; when the caller is cancelled, return only after the work is done."""
    working = asyncio.get_running_loop().run_in_executor(thread, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise
