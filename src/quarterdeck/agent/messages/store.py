"""All messages that a node keeps: `current.db`, and the full files before it, `EPOCH.db`.

Owns a folder, the order of its files, and their number: a full file is renamed, and when all files together are too
large, space is made (`eviction`), and removed messages are counted as lost. A file's name is the second of its
renaming, or the number after the last name where that is greater, so names rise even when the clock does not; places
(`seq`) rise
over all files. A damaged file is logged and set aside as `*.damaged`; the store continues. All methods block and are
for one thread at a time, except `look`, which another thread may call meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from quarterdeck.agent.messages.eviction import Eviction
from quarterdeck.agent.messages.file import MessageFile, Readings
from quarterdeck.agent.messages.files import DAMAGED, Files
from quarterdeck.agent.messages.reader import PAGE_BYTES, MessageReader
from quarterdeck.agent.messages.runs import Run
from quarterdeck.columns.outlet import Lose
from quarterdeck.kit.damaged_files import set_aside
from quarterdeck.kit.sqlite import remove, rename
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import MESSAGES_TABLE, MessageFilter, MessagePage

FILE_BYTES = 100 * 1000 * 1000
TOTAL_BYTES = 1000 * 1000 * 1000
#: damaged files that are kept for inspection
SET_ASIDE = 3
#: places left free behind a damaged file, more than any file has
_GAP = 1 << 32

_T = TypeVar("_T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Numbers of messages and files since the store was opened."""

    stored: int = 0
    removed: int = 0  #: messages removed to make space
    damaged: int = 0  #: files set aside


class MessageStore:
    """Stores messages in `folder`. `now`: seconds since the epoch."""

    def __init__(
        self,
        folder: Path,
        *,
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        now: Callable[[], float] = time.time,
        lose: Lose = lambda _: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files = Files(folder)
        self._eviction = Eviction(self._files, read=self._read, file_bytes=file_bytes, total_bytes=total_bytes)
        self._reader = MessageReader(self._files, self._eviction.record)
        self._lose = lose
        self._file_bytes = file_bytes
        self._now = now
        self.counts = Counts()
        self._open: MessageFile | None = None
        self._next = 1
        for path in self._files.full():
            self._next = max(self._next, (self._read(path, lambda file: file.last) or 0) + 1)
        try:
            self._read(self._files.current, lambda _: None)
        except StorageFull as error:
            log.warning("messages cannot be stored yet: %s", error)

    @property
    def last_id(self) -> int | None:
        """Return the number of the newest stored message; None when there is none, or it cannot be read now."""
        try:
            paths = (self._files.current, *reversed(self._files.full()))
            found = (self._read(path, lambda file: file.last_id) for path in paths)
            return next((number for number in found if number is not None), None)
        except StorageFull as error:
            log.warning("the newest message cannot be read: %s", error)
            return None

    def append(self, runs: Sequence[Run], readings: Readings | None = None) -> None:
        """Store all runs and `readings`, or none. Raise `StorageFull` when the disk refuses them now."""
        runs, readings = [run for run in runs if len(run)], readings or {}
        if not runs and not readings:
            return
        try:
            try:
                self._append(runs, readings)
            except StorageCorrupt as error:
                self._set_aside(self._files.current, error)
                self._append(runs, readings)
        except (StorageCorrupt, OSError) as error:
            raise StorageFull(f"Messages cannot be stored in {self._folder}: {error}") from error

    def select(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES, skip: bool = False) -> MessagePage:
        """Return the next page of matching messages, in about `page_bytes`. Files found to be damaged are set aside.

        `skip`: return the newest page behind the cursor instead, with the number of messages that it leaves out.
        """
        with suppress(StorageFull):  # the reader meets the same error, and reports it
            self._read(self._files.current, lambda _: None)
        find = self._reader.newest if skip else self._reader.select
        return find(wanted, before=self._next, page_bytes=page_bytes, damaged=self._set_aside)

    def look(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES, skip: bool = False) -> MessagePage | None:
        """Do as `select`, from another thread. Return None when a damaged file must be set aside first."""
        if self._open is None:
            return None
        find = self._reader.newest if skip else self._reader.select
        try:
            return find(wanted, before=self._next, page_bytes=page_bytes, damaged=_refuse)
        except StorageCorrupt:
            return None

    def delete(self, wanted: MessageFilter) -> int:
        """Delete all matching messages, whatever the filter's limit and cursor; return how many they were."""
        deleted = 0
        for path in (*self._files.full(), self._files.current):
            deleted += self._read(path, lambda file: file.delete(wanted)) or 0
            self._eviction.changed(path)
            if path != self._files.current and path.exists() and self._read(path, lambda file: file.last is None):
                with self._files.still:
                    remove(path)
        return deleted

    def readings(self) -> dict[str, bytes]:
        """Return how far each process was read whose output is not complete here."""
        found: dict[str, bytes | None] = {}
        for path in (*self._files.full(), self._files.current):
            found |= self._read(path, lambda file: file.readings()) or {}
        return {process: reading for process, reading in found.items() if reading is not None}

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _current(self) -> MessageFile:
        if self._open is None:
            with self._files.still:
                self._open = MessageFile(self._files.current)
            self._next = max(self._next, (self._open.last or 0) + 1)
        return self._open

    def _read(self, path: Path, ask: Callable[[MessageFile], _T]) -> _T | None:
        """Return what `ask` finds in a file; None when the file does not exist, or was damaged and is set aside."""
        if not path.exists():
            return None
        try:
            if path == self._files.current:
                return ask(self._current())
            file = MessageFile(path, "rw")
            try:
                return ask(file)
            finally:
                file.close()
        except StorageCorrupt as error:
            self._set_aside(path, error)
            return None

    def _set_aside(self, path: Path, error: StorageCorrupt) -> None:
        aside = path.with_name(f"{int(self._now())}-{self.counts.damaged}.{path.name}.damaged")
        with self._files.still:
            if path == self._files.current:
                self.close()
            try:
                set_aside(path, aside, pattern=DAMAGED, keep=SET_ASIDE)
            except OSError as refused:
                raise StorageFull(f"{error.message} It cannot be set aside: {refused}.") from error
        self._eviction.changed(path)
        self._next += _GAP
        self.counts.damaged += 1
        log.error("%s It was set aside as %s; its messages are missing.", error.message, aside.name)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _append(self, runs: list[Run], readings: Readings) -> None:
        room = sum(MessageFile.room_for(run) for run in runs)
        current = self._current()
        if current.last is not None and current.size_bytes + room > self._file_bytes:
            self._rotate(current)
            current = self._current()
        current.insert(runs, first=self._next, readings=readings)
        count = sum(map(len, runs))
        self._next += count
        self.counts.stored += count

    def _rotate(self, current: MessageFile) -> None:
        """Rename the current file, which is full, and make space for the next one."""
        with self._files.still:
            self._open = None
            current.close(alone=True)
            names = [int(path.stem) for path in self._files.full()]
            rename(self._files.current, self._folder / f"{max([int(self._now()), *(name + 1 for name in names)])}.db")
        for gone in self._eviction.make_room():
            self.counts.removed += gone.rows
            self._lose(
                Loss(
                    table=MESSAGES_TABLE.name,
                    reason=LossReason.EVICTED,
                    rows=gone.rows,
                    time_ns=time.time_ns(),
                    detail=gone.why,
                )
            )


def _refuse(_: Path, error: StorageCorrupt) -> NoReturn:
    raise error
