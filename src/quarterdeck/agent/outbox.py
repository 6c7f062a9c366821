"""The agent's buffer between its collectors and the server: bounded memory, then disk, oldest first.

Batches get their id when they are put and keep it until acknowledged; a repeat has the same bytes and the same id. The
order is segments on disk (older), then memory (newer). Rows that do not fit are counted, never waited for: `put` may be
called from any thread and returns at once. Losses are sent with the next batch, and spilled with it. The outbox sends
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from quarterdeck.agent.losses import LossTally
from quarterdeck.agent.spill import DamagedSegment, Segment, SpillFolder
from quarterdeck.agent.upkeep import UPKEEP, Upkeep
from quarterdeck.kit.files import write_private
from quarterdeck.kit.race import within
from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.model.config import OutboxConfig
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.struct import Wire
from quarterdeck.model.tables import Table

log = logging.getLogger(__name__)

#: sent and not yet acknowledged
WINDOW_BYTES = 16 * 1024 * 1024
WINDOW_BATCHES = 256
#: memory that a batch takes in addition to its body
_OVERHEAD_BYTES = 512
#: ids of one run of the agent; each run uses a new block, so that no id is ever used twice
_RUN_BITS = 32


class _Naming(Wire, frozen=True, kw_only=True):
    """The outbox's name and the number of times it was opened; stored in the file `epoch`."""

    epoch: str
    runs: int


class _Spilled:
    """A segment that is being sent: which of its batches are still to be sent or acknowledged."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.batches: dict[int, TelemetryBatch] | None = None  # None: not read yet
        self.unsent: deque[int] = deque()
        self.acked: set[int] = set()
        self.awaited = segment.batches  # acknowledgements until it may be removed
        self.damaged = False

    def holds(self, epoch: str, seq: int) -> bool:
        return self.segment.epoch == epoch and self.segment.first <= seq <= self.segment.last

    def done(self) -> bool:
        return len(self.acked) >= self.awaited

    def forget(self) -> None:
        """Drop the batches that were read; they are read again when they are sent again."""
        self.batches = None
        self.unsent.clear()


class Outbox:
    """Owns `folder`. Created inside a running event loop, in which every method but `put` and `lose` must be called."""

    def __init__(
        self, folder: Path, config: OutboxConfig, *, upkeep: Upkeep = UPKEEP, now: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._upkeep = upkeep
        self._now = now
        self._spill = SpillFolder(folder)
        naming = _open_epoch(folder / "epoch")
        self.epoch = naming.epoch
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()  # guards the five below
        self._next_seq = (naming.runs << _RUN_BITS) + 1
        self._memory: dict[int, TelemetryBatch] = {}
        self._memory_bytes = 0
        self._unsent: deque[int] = deque()
        self._losses = LossTally()
        self._segments = deque(_Spilled(segment) for segment in self._spill.segments())
        self._in_flight: dict[tuple[str, int], int] = {}
        self._news = asyncio.Event()
        self._pressure = asyncio.Event()
        self._linked = False
        self._disk_refused = False
        self._releasing = asyncio.Lock()
        self._spilling: asyncio.Future[bool] | None = None

    # ── producers: any thread ────────────────────────────────────────────────────────────────────────────────────────
    def put(self, table: Table, rows: int, body: bytes, module: str = "", losses: Sequence[Loss] = ()) -> None:
        """Take one batch (compressed Arrow IPC); count its rows as `queue_full` when it does not fit. Never waits."""
        with self._lock:
            for loss in losses:
                self._losses.add(loss)
            if self._memory_bytes + len(body) + _OVERHEAD_BYTES > self._config.memory_bytes:
                self._losses.add(
                    Loss(
                        table=table.name,
                        module=module,
                        reason=LossReason.QUEUE_FULL,
                        rows=rows,
                        time_ns=time.time_ns(),
                    )
                )
                return
            self._append(table.name, fingerprint=table.fingerprint, rows=rows, body=body, module=module)
            pressed = self._memory_bytes > self._config.memory_bytes // 2
        self._loop.call_soon_threadsafe(self._wake, pressed)

    def lose(self, loss: Loss) -> None:
        """Count rows that were lost before they became a batch."""
        with self._lock:
            self._losses.add(loss)

    # ── the sender: event loop ───────────────────────────────────────────────────────────────────────────────────────
    def opened(self) -> None:
        """Note that a link is up: send everything that is not acknowledged (again), in order."""
        self._linked = True
        self.rewind()

    def closed(self) -> None:
        """Note that the link has ended."""
        self._linked = False
        for spilled in self._segments:
            spilled.forget()

    def rewind(self) -> None:
        """Send everything that is not acknowledged again."""
        self._in_flight.clear()
        for spilled in self._segments:
            spilled.forget()
        with self._lock:
            self._unsent = deque(self._memory)
        self._news.set()

    async def next(self) -> TelemetryBatch:
        """Return the oldest batch not sent yet; wait while there is none or too much is unacknowledged."""
        while True:
            self._news.clear()
            await self._release_done()
            batch = await self._oldest()
            if batch is not None:
                self._in_flight[batch.epoch, batch.seq] = len(batch.body) + _OVERHEAD_BYTES
                return msgspec.structs.replace(batch, floor=self._floor(batch))
            await self._news.wait()

    def acknowledge(self, ack: TelemetryAck) -> None:
        """Drop the batches that the server has stored."""
        for seq in ack.seqs:
            self._in_flight.pop((ack.epoch, seq), None)
            if ack.epoch == self.epoch:
                self._drop_from_memory(seq)
            for spilled in self._segments:
                if spilled.holds(ack.epoch, seq):
                    spilled.acked.add(seq)
        self._news.set()

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def keep(self) -> None:
        """Spill under pressure, send losses without a batch, and drop what is too old, without end."""
        idle_since = time.monotonic()
        while True:
            await within(self._upkeep.tick_s, self._pressure.wait())
            self._pressure.clear()
            if self._linked:
                idle_since = time.monotonic()
                self._send_losses()
            await self._expire()
            await self._release_done()
            away = time.monotonic() - idle_since > self._upkeep.spill_after_s
            room = 0 if away else self._config.memory_bytes // 4
            if away or self._memory_bytes > self._config.memory_bytes // 2:
                idle_since = time.monotonic() if away else idle_since
                if not await self._spill_down_to(room):
                    await asyncio.sleep(self._upkeep.disk_retry_s)

    async def close(self) -> None:
        """Write everything in memory to disk; log what the disk refuses as lost."""
        if self._spilling is not None:
            await asyncio.wait({self._spilling})  # left running when `keep` was cancelled
        if not await self._spill_down_to(0):
            rows = sum(batch.rows for batch in self._memory.values())
            log.error("%d rows were lost at shutdown: the server is unreachable and the disk refuses writes", rows)

    @property
    def memory_bytes(self) -> int:
        """Return the bytes of batches in memory that are not on disk."""
        return self._memory_bytes

    @property
    def disk_bytes(self) -> int:
        """Return the bytes of segments on disk."""
        return sum(spilled.segment.bytes for spilled in self._segments)

    @property
    def empty(self) -> bool:
        """Return whether everything put was acknowledged and no loss waits."""
        return not (self._memory or self._segments or self._losses)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _append(self, table: str, *, fingerprint: str, rows: int, body: bytes, module: str) -> None:
        batch = TelemetryBatch(
            epoch=self.epoch,
            seq=self._next_seq,
            floor=0,
            table=table,
            fingerprint=fingerprint,
            rows=rows,
            body=body,
            module=module,
            losses=self._losses.take(),
        )
        self._memory[batch.seq] = batch
        self._memory_bytes += len(body) + _OVERHEAD_BYTES
        self._unsent.append(batch.seq)
        self._next_seq += 1

    def _append_losses(self) -> None:
        with self._lock:
            if self._losses and self._memory_bytes < self._config.memory_bytes:
                self._append("", fingerprint="", rows=0, body=b"", module="")

    def _send_losses(self) -> None:
        self._append_losses()
        self._news.set()

    def _wake(self, pressed: bool) -> None:
        self._news.set()
        if pressed:
            self._pressure.set()

    def _drop_from_memory(self, seq: int) -> None:
        with self._lock:
            batch = self._memory.pop(seq, None)
            if batch is not None:
                self._memory_bytes -= len(batch.body) + _OVERHEAD_BYTES

    async def _oldest(self) -> TelemetryBatch | None:
        if len(self._in_flight) >= WINDOW_BATCHES or sum(self._in_flight.values()) >= self._window_bytes():
            return None
        for spilled in list(self._segments):
            if spilled.done():
                continue
            if spilled.batches is None:
                await self._load(spilled)
            while spilled.unsent:
                seq = spilled.unsent.popleft()
                key = (spilled.segment.epoch, seq)
                if spilled.batches and seq not in spilled.acked and key not in self._in_flight:
                    return spilled.batches[seq]
        with self._lock:
            while self._unsent:
                batch = self._memory.get(self._unsent.popleft())
                if batch is not None:
                    return batch
        return None

    def _window_bytes(self) -> int:
        return min(WINDOW_BYTES, self._config.memory_bytes // 2)

    def _floor(self, batch: TelemetryBatch) -> int:
        """Return the least id of this epoch that may still be sent."""
        for spilled in self._segments:
            if spilled.segment.epoch == batch.epoch:
                return min(spilled.segment.first, batch.seq)
        with self._lock:
            return min(next(iter(self._memory), batch.seq), batch.seq)

    async def _load(self, spilled: _Spilled) -> None:
        segment = spilled.segment
        spilled.batches = {}  # it is being sent, so it does not expire meanwhile
        try:
            batches = await asyncio.to_thread(self._spill.read, segment)
        except DamagedSegment as damage:
            # a batch that carries only the losses replaces it: repeated after a restart, it has the same id
            log.warning("%s Its %d rows are counted as lost.", damage.message, segment.rows)
            spilled.damaged, spilled.awaited = True, 1
            batches = [
                TelemetryBatch(
                    epoch=segment.epoch,
                    seq=segment.first,
                    floor=0,
                    table="",
                    fingerprint="",
                    rows=0,
                    body=b"",
                    losses=damage.losses,
                )
            ]
        spilled.batches = {batch.seq: batch for batch in batches}
        spilled.unsent = deque(seq for seq in spilled.batches if seq not in spilled.acked)

    async def _release_done(self) -> None:
        async with self._releasing:
            while self._segments and self._segments[0].done():
                await self._release_first()

    async def _release_first(self) -> None:
        """Remove the oldest segment durably, before the floor rises above it."""
        spilled = self._segments[0]
        try:
            await asyncio.to_thread(self._spill.set_aside if spilled.damaged else self._spill.remove, spilled.segment)
        except OSError as error:
            log.warning("the sent segment %s could not be removed: %s", spilled.segment.path, error)
        self._segments.popleft()

    async def _spill_down_to(self, room: int) -> bool:
        """Write the oldest batches to disk until `room` bytes are in memory; return False if the disk refuses."""
        self._append_losses()
        while self._memory_bytes > room:
            self._spilling = asyncio.ensure_future(self._spill_oldest())
            if not await asyncio.shield(self._spilling):
                return False
        return True

    async def _spill_oldest(self) -> bool:
        """Write one segment; return False when the disk refuses it."""
        chunk = self._oldest_in_memory()
        try:
            if self.disk_bytes + sum(len(batch.body) + _OVERHEAD_BYTES for batch in chunk) > self._config.disk_bytes:
                raise OSError(f"the outbox may use {self._config.disk_bytes} bytes of disk")
            spilled = _Spilled(await asyncio.to_thread(self._spill.write, chunk))
        except OSError as error:
            if not self._disk_refused:
                log.warning("the outbox cannot spill to disk, new rows may be lost: %s", error)
            self._disk_refused = True
            return False
        if self._disk_refused:
            log.info("the outbox spills to disk again")
        self._disk_refused = False
        for batch in chunk:
            if batch.seq not in self._memory:
                spilled.acked.add(batch.seq)
            self._drop_from_memory(batch.seq)
        self._segments.append(spilled)
        self._news.set()
        return True

    def _oldest_in_memory(self) -> list[TelemetryBatch]:
        chunk: list[TelemetryBatch] = []
        size = 0
        with self._lock:
            for batch in self._memory.values():
                chunk.append(batch)
                size += len(batch.body)
                if size >= self._upkeep.segment_bytes:
                    break
        return chunk

    async def _expire(self) -> None:
        """Drop segments older than the outbox keeps; their rows are counted as `too_old`."""
        limit = self._now() - self._config.max_age_s
        async with self._releasing:
            while self._segments and self._segments[0].batches is None and self._segments[0].segment.created < limit:
                spilled = self._segments[0]
                spilled.awaited = 0  # it is not sent any more
                lost = await asyncio.to_thread(
                    self._spill.losses, spilled.segment, LossReason.TOO_OLD, acknowledged=frozenset(spilled.acked)
                )
                for loss in lost:
                    self.lose(loss)
                await self._release_first()


def _open_epoch(path: Path) -> _Naming:
    """Return this outbox's name and run number; the run is on disk before its first id is used."""
    naming = _Naming(epoch=secrets.token_hex(8), runs=0)
    try:
        known = msgspec.json.decode(path.read_bytes(), type=_Naming)
        naming = _Naming(epoch=known.epoch, runs=known.runs + 1)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s is damaged, the outbox continues under a new name: %s", path, error)
    try:
        write_private(path, msgspec.json.encode(naming))
    except OSError as error:
        # the next run will not know of this one, and must not reuse its ids: the name is for this run only
        log.warning("%s could not be written: %s", path, error)
        naming = _Naming(epoch=secrets.token_hex(8), runs=0)
    return naming
