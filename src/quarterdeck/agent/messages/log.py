"""The node's message log: what processes printed goes in, is numbered, stored, forwarded, and can be found again.

Owns the queue between the event loop and the one thread that stores: bounded in bytes; and a second thread that reads,
so that a search through everything does not hold up what is printed meanwhile. While that thread is only
slow, `put` waits, so that pipes fill and processes are slowed down: pressure is passed on. While the disk takes
nothing, `put` does not wait, as a full disk must not stop a process: what then finds no room is counted for each job,
and a message of level 8 in the log says how many, as soon as there is room. Forwarding goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from quarterdeck.agent.messages.forward import Emit, Forwarder, Lose
from quarterdeck.agent.messages.ids import MessageIds
from quarterdeck.agent.messages.reader import PAGE_BYTES
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.messages.store import FILE_BYTES, TOTAL_BYTES, MessageStore
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.messages import Level, MessageFilter, MessagePage

#: what waits for the thread at most, what it takes at once at most, and how long messages may wait for others
QUEUE_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 2 * 1024 * 1024
WAIT_S = 0.1
#: wait after the disk refused a batch
RETRY_S = 2.0
#: jobs whose dropped messages are counted apart; of more, together
_DISTINCT = 1000

_T = TypeVar("_T")
_Put = tuple[Run, Routing, bytes | None]

log = logging.getLogger(__name__)


class MessageLog:
    """Owns `folder`. Made inside a running event loop, in which every method must be called; run `keep` in it."""

    def __init__(
        self,
        folder: Path,
        *,
        emit: Emit,
        lose: Lose,
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._store = MessageStore(folder, file_bytes=file_bytes, total_bytes=total_bytes)
        self._ids = MessageIds(folder / "next_id", last_stored=self._store.last_id)
        self._forwarder = Forwarder(emit, lose)
        self._queue_bytes = queue_bytes
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="messages")
        self._writing = asyncio.Lock()
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="messages-read")
        self._reading = asyncio.Lock()
        self._waiting: deque[_Put] = deque()
        self._waiting_bytes = 0
        self._unstored: list[Run] = []  # numbered and forwarded; the disk refused them
        self._unstored_bytes = 0
        self._readings: dict[str, bytes | None] = {}  # that go with them
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

        `reading`: how far their process was read with these, stored together with them; None: forget that; empty: it
        is not said.
        """
        run = run.only(routing.processed)
        if not len(run) and reading == b"":
            return
        while self._waiting_bytes >= self._queue_bytes:
            self._room.clear()
            await self._room.wait()
        self._waiting.append((run, routing, reading))
        self._waiting_bytes += run.size_bytes
        self._put += 1
        self._news.set()
        if self._waiting_bytes >= BATCH_BYTES:
            self._enough.set()
        for news, wanted in self._watchers.items():
            if _may_want(wanted, run.source):
                news.set()

    @contextmanager
    def watch(self, wanted: MessageFilter) -> Generator[asyncio.Event]:
        """An event that is set when `select` may find more that matches than before."""
        news = asyncio.Event()
        self._watchers[news] = wanted
        try:
            yield news
        finally:
            del self._watchers[news]

    async def written(self) -> None:
        """Until everything put so far is stored, or waits in memory because the disk refuses it."""
        place = self._put
        while self._handled < place:
            self._progress.clear()
            await self._progress.wait()

    def hurry(self) -> None:
        """Somebody waits: what was put need not wait for more."""
        self._enough.set()

    async def select(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES) -> MessagePage:
        """The next page of what matches, in about `page_bytes`; everything put before is in it."""
        await self.flush()
        async with self._reading:
            page = await _on(self._read_thread, lambda: self._store.look(wanted, page_bytes=page_bytes))
            if page is None:
                page = await _on(self._write_thread, lambda: self._store.select(wanted, page_bytes=page_bytes))
        waiting, dropped = sum(map(len, self._unstored)), sum(self._dropped.values())
        if not (waiting and self._refused):  # else they are being stored in this moment
            return page
        words = f"{waiting} messages wait in memory and {dropped} were dropped: the disk takes no more now."
        return msgspec.structs.replace(page, problems=(*page.problems, words))

    async def readings(self) -> dict[str, bytes]:
        """How far each process was read, of those that are still to be read on, as `put` said."""
        await self.flush()
        return await _on(self._write_thread, self._store.readings)

    async def delete(self, wanted: MessageFilter) -> int:
        """Delete all that match; how many they were."""
        await self.flush()
        async with self._reading:  # nothing disappears from a page that is being found
            return await _on(self._write_thread, lambda: self._store.delete(wanted))

    async def flush(self) -> None:
        """Store what was put so far, as far as the disk takes it."""
        async with self._writing:
            while self._waiting:
                await self._write()

    async def keep(self) -> None:
        """Forever: store and forward what was put."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await self._news.wait()
            if self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_S):
                        await self._enough.wait()
            self._news.clear()
            self._enough.clear()
            async with self._writing:
                await self._write()
            if self._waiting:
                self._news.set()

    async def close(self) -> None:
        """Store and forward everything that waits; what the disk does not take is lost, and said so."""
        await self.flush()
        async with self._reading:
            await _on(self._write_thread, self._end)
        self._read_thread.shutdown()
        self._write_thread.shutdown()
        lost = sum(map(len, self._unstored))
        if lost:
            log.error("%d messages were lost at shutdown: the disk takes no more", lost)

    @property
    def stored(self) -> int:
        """Messages stored since the start."""
        return self._store.counts.stored

    @property
    def removed(self) -> int:
        """Messages removed since the start, the oldest, to make room."""
        return self._store.counts.removed

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _idle_s(self) -> float | None:
        """How long nothing need be done when no messages come."""
        if self._unstored or self._dropped:
            return RETRY_S
        return self._forwarder.due_s

    async def _write(self) -> None:
        """Hand the oldest of the queue to the thread, and wait for it."""
        taken: list[_Put] = []
        size = 0
        while self._waiting and size < BATCH_BYTES:
            taken.append(self._waiting.popleft())
            size += taken[-1][0].size_bytes
        refused = self._refused
        try:
            await _on(self._write_thread, lambda: self._store_and_forward(taken))
        finally:
            self._waiting_bytes -= size
            self._handled += len(taken)
            self._room.set()
            self._progress.set()
        if refused and not self._refused:  # what waited in memory can be found now
            for news in self._watchers:
                news.set()

    # ── on the thread that writes ────────────────────────────────────────────────────────────────────────────────────
    def _store_and_forward(self, taken: list[_Put]) -> None:
        numbered = [(run.numbered(self._ids.take(len(run))), routing) for run, routing, _ in taken]
        self._readings |= {run.source.job_id: reading for run, _, reading in taken if reading != b""}
        for run, routing in numbered:
            self._wait_for_disk(run.only(routing.kept))
        self._store_waiting()
        for run, routing in numbered:
            self._forwarder.add(run.only(routing.forwarded))
        if self._forwarder.due_s == 0:
            self._forwarder.flush()

    def _wait_for_disk(self, run: Run) -> None:
        """The run is to be stored; when too much is already, because the disk refuses it, it is dropped and counted."""
        size = run.size_bytes
        if self._unstored_bytes + size > self._queue_bytes and self._unstored:
            known = run.source in self._dropped or len(self._dropped) < _DISTINCT
            self._dropped[run.source if known else Source("")] += len(run)
            self.dropped += len(run)
            return
        self._unstored.append(run)
        self._unstored_bytes += size

    def _store_waiting(self) -> None:
        runs = self._unstored + [self._confession(source, count) for source, count in self._dropped.items()]
        try:
            self._store.append(runs, self._readings)
        except StorageFull as error:
            if not self._refused:
                log.warning("messages wait in memory: %s", error)
            self._refused = True
            return
        if self._refused:
            log.info("messages are stored again; %d were dropped meanwhile", sum(self._dropped.values()))
        self._refused = False
        self._unstored, self._unstored_bytes, self._readings = [], 0, {}
        self._dropped.clear()

    def _confession(self, source: Source, count: int) -> Run:
        """A message in the job's own log that says how many of its messages are missing."""
        text = f"{count} messages were dropped here: the disk took no more."
        run = Run(source, int(time.time() * 1000), [int(Level.OPS_ERROR)], [text.encode()], [0])
        return run.numbered(self._ids.take(1))

    def _end(self) -> None:
        self._forwarder.flush()
        self._store.close()
        self._ids.close()


async def _on(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Also when whoever waits is cancelled, the work is done when this returns."""
    working = asyncio.get_running_loop().run_in_executor(thread, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


def _may_want(wanted: MessageFilter, source: Source) -> bool:
    """Whether messages of this source can match."""
    named = ((wanted.job_id, source.job_id), (wanted.domain, source.domain), (wanted.name, source.name))
    return all(want is None or want == have for want, have in named)
