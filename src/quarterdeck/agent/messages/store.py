"""All messages that a node keeps: `current.db`, and the full files before it, `EPOCH.db`.

Owns a folder, the order of its files, and their number: a file that is full is renamed, and when all together are too
large the oldest is removed and its messages counted. A name is the second of the renaming, or the one behind the last
name where that is later, so names rise even when the clock does not; and places (`seq`) rise over all files. A damaged
file is set aside as `*.damaged`, said so, and the store goes on. It blocks, and is for one thread at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from quarterdeck.agent.messages.file import MessageFile, Readings, remove, rename
from quarterdeck.agent.messages.runs import Run
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.messages import Message, MessageFilter, MessagePage

FILE_BYTES = 100 * 1000 * 1000
TOTAL_BYTES = 1000 * 1000 * 1000
#: what the messages of one page take when they are encoded, nearly; the first has its place however large it is
PAGE_BYTES = 1024 * 1024
_ENTRY_BYTES = 120
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
        self._file_bytes = file_bytes
        self._total_bytes = total_bytes
        self._now = now
        self.counts = Counts()
        self._open: MessageFile | None = None
        self._next = 1
        folder.mkdir(parents=True, exist_ok=True)
        for path in self._full():
            self._next = max(self._next, (self._read(path, lambda file: file.last) or 0) + 1)
        try:
            self._read(self._path, lambda _: None)
        except StorageFull as error:
            log.warning("messages cannot be stored yet: %s", error)

    @property
    def last_id(self) -> int | None:
        """The number of the newest message that is stored; None when there is none, or it cannot be read now."""
        try:
            found = (self._read(path, lambda file: file.last_id) for path in (self._path, *reversed(self._full())))
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
                self._set_aside(self._path, error)
                self._append(runs, readings)
        except (StorageCorrupt, OSError) as error:
            raise StorageFull(f"Messages cannot be stored in {self._folder}: {error}") from error

    def select(self, wanted: MessageFilter, *, page_bytes: int = PAGE_BYTES) -> MessagePage:
        """The next page of what matches, in about `page_bytes`."""
        cursor = int(wanted.cursor) if wanted.cursor else None
        found: list[Message] = []
        size = 0
        problems: list[str] = []
        more = False
        for seq, message in self._matching(wanted, cursor, problems):
            size += _size(message)
            more = len(found) == wanted.limit or (bool(found) and size > page_bytes)
            if more:
                break
            found.append(message)
            cursor = seq
        problems += (
            f"{path.name} was damaged and is set aside; its messages are missing until it is repaired or removed."
            for path in self._damaged()
        )
        here = str(cursor) if more else str(self._next - 1)
        resume = str(self._next - 1) if wanted.newest_first else here
        return MessagePage(
            messages=tuple(found),
            cursor=here if more else None,
            resume=resume,
            problems=tuple(problems),
        )

    def delete(self, wanted: MessageFilter) -> int:
        """Delete all that match, whatever the filter's limit and cursor; how many they were."""
        deleted = 0
        for path in (*self._full(), self._path):
            deleted += self._read(path, lambda file: file.delete(wanted)) or 0
            if path != self._path and path.exists() and self._read(path, lambda file: file.last is None):
                remove(path)
        return deleted

    def readings(self) -> dict[str, bytes]:
        """How far each process was read whose output is not all here."""
        found: dict[str, bytes | None] = {}
        for path in (*self._full(), self._path):
            found |= self._read(path, lambda file: file.readings()) or {}
        return {process: reading for process, reading in found.items() if reading is not None}

    def size_bytes(self) -> int:
        """Of all its files, damaged ones too."""
        return sum(path.stat().st_size for path in self._folder.iterdir() if ".db" in path.name)

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def _path(self) -> Path:
        return self._folder / "current.db"

    def _full(self) -> list[Path]:
        """The full files, oldest first."""
        return sorted((path for path in self._folder.glob("*.db") if path.stem.isdecimal()), key=lambda p: int(p.stem))

    def _current(self) -> MessageFile:
        if self._open is None:
            self._open = MessageFile(self._path)
            self._next = max(self._next, (self._open.last or 0) + 1)
        return self._open

    def _read(self, path: Path, ask: Callable[[MessageFile], _T]) -> _T | None:
        """What a file answers; None when there is none, or when it is damaged and was set aside."""
        if not path.exists():
            return None
        try:
            if path == self._path:
                return ask(self._current())
            file = MessageFile(path, full=True)
            try:
                return ask(file)
            finally:
                file.close()
        except StorageCorrupt as error:
            self._set_aside(path, error)
            return None

    def _set_aside(self, path: Path, error: StorageCorrupt) -> None:
        if path == self._path:
            self.close()
        aside = path.with_name(f"{int(self._now())}-{self.counts.damaged}.{path.name}.damaged")
        try:
            rename(path, aside)
        except OSError as refused:
            raise StorageFull(f"{error.message} It cannot be set aside: {refused}.") from error
        self._next += _GAP
        self.counts.damaged += 1
        log.error("%s It was set aside as %s; its messages are missing.", error.message, aside.name)
        for old in self._damaged()[:-SET_ASIDE]:
            remove(old)

    def _damaged(self) -> list[Path]:
        return sorted(self._folder.glob("*.damaged"), key=lambda file: file.stat().st_mtime)

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
        self._open = None
        current.close(alone=True)
        names = [int(path.stem) for path in self._full()]
        rename(self._path, self._folder / f"{max([int(self._now()), *(name + 1 for name in names)])}.db")
        for oldest in self._full():
            if self.size_bytes() + self._file_bytes <= self._total_bytes:
                break
            count = self._read(oldest, lambda file: file.count()) or 0
            remove(oldest)
            self.counts.removed += count
            log.info("%s was removed with the %d oldest messages: the store is full", oldest.name, count)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _matching(
        self, wanted: MessageFilter, cursor: int | None, problems: list[str]
    ) -> Iterator[tuple[int, Message]]:
        """What matches in every file beyond the cursor, in order; what cannot be read is added to `problems`."""
        files = [*self._full(), self._path]
        for path in reversed(files) if wanted.newest_first else files:
            try:
                yield from self._in_file(path, wanted, cursor)
            except StorageFull as error:
                problems.append(str(error))

    def _in_file(self, path: Path, wanted: MessageFilter, cursor: int | None) -> Iterator[tuple[int, Message]]:
        if not path.exists():
            return
        file = None
        try:
            file = self._current() if path == self._path else MessageFile(path, full=True)
            if _may_match(file, wanted, cursor):
                yield from file.select(wanted, cursor=cursor)
        except StorageCorrupt as error:
            self._set_aside(path, error)
        finally:
            if file is not None and path != self._path:
                file.close()


def _size(message: Message) -> int:
    """What it takes on the link, nearly: a character that stands for a byte that is not UTF-8 takes three."""
    names = len(message.job_id) + len(message.domain) + len(message.name)
    text = 4 * len(message.raw) if message.raw else len(message.data.encode())
    return text + names + _ENTRY_BYTES


def _may_match(file: MessageFile, wanted: MessageFilter, cursor: int | None) -> bool:
    """Whether a look into the file is worth it, by the places and times that it has."""
    if file.first is None or file.last is None or file.oldest_ms is None or file.newest_ms is None:
        return False
    if cursor is not None and (file.first >= cursor if wanted.newest_first else file.last <= cursor):
        return False
    early = wanted.time_to is not None and file.oldest_ms >= wanted.time_to
    return not early and not (wanted.time_from is not None and file.newest_ms < wanted.time_from)
