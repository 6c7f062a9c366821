"""All messages that a node keeps: `current.db`, and the full files before it, `EPOCH.db`.

Owns a folder, the order of its files, and their number: a file that is full is renamed, and when all together are too
large the oldest is removed and its messages counted. A name is the second of the renaming, or the one behind the last
name where that is later, so names rise even when the clock does not; and places (`seq`) rise over all files. A damaged
file is set aside as `*.damaged`, said so, and the store goes on. It blocks, and is for one thread at a time; beside it
another may `look`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from quarterdeck.agent.messages.file import MessageFile, Readings, remove, rename
from quarterdeck.agent.messages.files import Files
from quarterdeck.agent.messages.reader import PAGE_BYTES, MessageReader
from quarterdeck.agent.messages.runs import Run
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.messages import MessageFilter, MessagePage

FILE_BYTES = 100 * 1000 * 1000
TOTAL_BYTES = 1000 * 1000 * 1000
#: damaged files that are kept for a person to look at
SET_ASIDE = 3
#: places left free behind a damaged file, more than any file has
_GAP = 1 << 32

_T = TypeVar("_T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What became of messages since the store was opened."""

    stored: int = 0
    removed: int = 0  #: with the oldest files, to make room
    damaged: int = 0  #: files set aside


class MessageStore:
    """Owns `folder`. `now`: seconds since the epoch."""

    def __init__(
        self,
        folder: Path,
        *,
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._files = Files(folder)
        self._reader = MessageReader(self._files)
        self._file_bytes = file_bytes
        self._total_bytes = total_bytes
        self._now = now
        self.counts = Counts()
        self._open: MessageFile | None = None
        self._next = 1
        folder.mkdir(parents=True, exist_ok=True)
        for path in self._files.full():
            self._next = max(self._next, (self._read(path, lambda file: file.last) or 0) + 1)
        try:
            self._read(self._files.current, lambda _: None)
        except StorageFull as error:
            log.warning("messages cannot be stored yet: %s", error)

    @property
    def last_id(self) -> int | None:
        """The number of the newest message that is stored; None when there is none, or it cannot be read now."""
        try:
            paths = (self._files.current, *reversed(self._files.full()))
            found = (self._read(path, lambda file: file.last_id) for path in paths)
            return next((number for number in found if number is not None), None)
        except StorageFull as error:
            log.warning("the newest message cannot be read: %s", error)
            return None

    def append(self, runs: Sequence[Run], readings: Readings | None = None) -> None:
        """Store runs and `readings`, all or none of them. `StorageFull`: none, the disk does not take them now."""
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

    def select(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES) -> MessagePage:
        """The next page of what matches, in about `page_bytes`. What is found to be damaged is set aside."""
        with suppress(StorageFull):  # who reads finds that too, and says so
            self._read(self._files.current, lambda _: None)
        return self._reader.select(wanted, before=self._next, page_bytes=page_bytes, damaged=self._set_aside)

    def look(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES) -> MessagePage | None:
        """The same, on another thread than all else. None: `select` must do it, as something is to be mended."""
        if self._open is None:
            return None
        try:
            return self._reader.select(wanted, before=self._next, page_bytes=page_bytes, damaged=_refuse)
        except StorageCorrupt:
            return None

    def delete(self, wanted: MessageFilter) -> int:
        """Delete all that match, whatever the filter's limit and cursor; how many they were."""
        deleted = 0
        for path in (*self._files.full(), self._files.current):
            deleted += self._read(path, lambda file: file.delete(wanted)) or 0
            if path != self._files.current and path.exists() and self._read(path, lambda file: file.last is None):
                with self._files.still:
                    remove(path)
        return deleted

    def readings(self) -> dict[str, bytes]:
        """How far each process was read whose output is not all here."""
        found: dict[str, bytes | None] = {}
        for path in (*self._files.full(), self._files.current):
            found |= self._read(path, lambda file: file.readings()) or {}
        return {process: reading for process, reading in found.items() if reading is not None}

    def close(self) -> None:
        """Close what is open."""
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
        """What a file answers; None when there is none, or when it is damaged and was set aside."""
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
                rename(path, aside)
            except OSError as refused:
                raise StorageFull(f"{error.message} It cannot be set aside: {refused}.") from error
            for old in self._files.damaged()[:-SET_ASIDE]:
                remove(old)
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
        """The current file is full: it gets its name, and the oldest go when there are too many."""
        with self._files.still:
            self._open = None
            current.close(alone=True)
            names = [int(path.stem) for path in self._files.full()]
            rename(self._files.current, self._folder / f"{max([int(self._now()), *(name + 1 for name in names)])}.db")
        for oldest in self._files.full():
            if self._files.size_bytes() + self._file_bytes <= self._total_bytes:
                break
            count = self._read(oldest, lambda file: file.count()) or 0
            with self._files.still:
                remove(oldest)
            self.counts.removed += count
            log.info("%s was removed with the %d oldest messages: the store is full", oldest.name, count)


def _refuse(_: Path, error: StorageCorrupt) -> NoReturn:
    raise error
