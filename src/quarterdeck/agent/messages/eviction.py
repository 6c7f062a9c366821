"""Makes space in a full store: sources above their share lose their oldest messages first, then the oldest file goes.

When messages are evicted from a file, its other messages move to the file before it or, if that is full, to a smaller
file of the same name. Places stay in order over the files, the number of files stays small, and removal is cheap. A
reader finds each message once, by its place. How much a file holds of each source is counted once and remembered.
This module does not decide how much a source loses: `shares` does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from quarterdeck.agent.messages.evicted import KNOWN, Evicted, EvictionRecord
from quarterdeck.agent.messages.file import MessageFile
from quarterdeck.agent.messages.files import Files
from quarterdeck.agent.messages.runs import Source
from quarterdeck.agent.messages.shares import SHARE, choose
from quarterdeck.kit.sqlite import remove
from quarterdeck.model.errors import StorageCorrupt, StorageFull

#: a source with less than this part of a share in a file is not counted there: a store has a few tens of files
_COUNTED = 1 / 64
#: how much a file may grow by moved messages, as a factor of the space that they took before
_GROWTH = 1.2
#: the least that is evicted at once, as a part of a file: files shrink by whole pages, so by less than was evicted
_AT_LEAST = 1 / 32

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class Read(Protocol):
    """Reads something from a file; returns None when the file does not exist, or was damaged and is set aside."""

    def __call__(self, path: Path, ask: Callable[[MessageFile], _T], /) -> _T | None: ...


class Gone(NamedTuple):
    """Messages that were removed for one reason. `evicted`: per source; of a whole file, its largest sources."""

    rows: int
    evicted: Sequence[Evicted]
    why: str


class _Held(NamedTuple):
    """The bytes that a file holds: those of each large source, and the total."""

    large: Mapping[Source, int]
    total: int


class Eviction:
    """Evicts messages. Used only by the thread of the store."""

    def __init__(self, files: Files, *, read: Read, file_bytes: int, total_bytes: int) -> None:
        self._files = files
        self._read = read
        self._file_bytes = file_bytes
        self._total_bytes = total_bytes
        self._share = int(total_bytes * SHARE)
        self._held: dict[Path, _Held] = {}
        self.record = EvictionRecord(files.folder / "evicted")
        for path in files.unfinished():  # left by an agent that was killed
            remove(path)

    def make_room(self) -> list[Gone]:
        """Make space for one more full file; return what was removed for it."""
        gone: list[Gone] = []
        try:
            while (need := self._missing()) > 0:
                thinned = self._thin_out(max(need, int(self._file_bytes * _AT_LEAST)))
                if not thinned:
                    break
                gone += thinned
        except (StorageFull, OSError) as error:
            log.warning("messages over the share cannot be evicted now, so the oldest are: %s", error)
        while self._missing() > 0 and (full := self._files.full()):
            gone.append(self._drop(full[0]))
        if gone:
            self.record.add(each for one in gone for each in one.evicted)
            log.info("the store is full: %d messages were evicted", sum(one.rows for one in gone))
        return gone

    def changed(self, path: Path) -> None:
        """Note that messages were removed from this file by another part of the store."""
        self._held.pop(path, None)

    def _missing(self) -> int:
        return self._files.size_bytes() + self._file_bytes - self._total_bytes

    def _drop(self, path: Path) -> Gone:
        """Remove the oldest file, whatever sources it holds."""
        rows = self._read(path, lambda file: file.count()) or 0
        evicted = self._read(path, lambda file: file.most(KNOWN)) or ()
        self._remove(path)
        return Gone(rows, evicted, "the oldest of all")

    def _thin_out(self, need: int) -> list[Gone]:
        """Evict messages of the sources that are above their share, the largest first."""
        gone: list[Gone] = []
        paths = self._files.full()
        chosen = choose([self._count(path).large for path in paths], need=need, share=self._share)
        last = {source: number for number, going in enumerate(chosen) for source in going}
        before: Path | None = None
        for number, (path, going) in enumerate(zip(paths, chosen, strict=True)):
            older = dict.fromkeys((source for source, until in last.items() if number < until), 0)  # not counted here
            evicted = self._take_out(path, older | going, before) if older or going else ()
            gone += [Gone(each.rows, (each,), f"of {each.job_id}, beyond its share") for each in evicted]
            if path.exists():
                before = path
        return gone

    def _count(self, path: Path) -> _Held:
        if path not in self._held:
            at_least = max(1, int(self._share * _COUNTED))
            found = self._read(path, lambda file: file.sizes(at_least=at_least))
            self._held[path] = _Held(*found) if found else _Held({}, 0)
        return self._held[path]

    def _take_out(self, path: Path, going: Mapping[Source, int], before: Path | None) -> Sequence[Evicted]:
        """Take the oldest bytes of these sources out of one file. Do nothing when the file is damaged and set aside."""
        held = self._count(path)
        parts = {source: None if size == held.large.get(source, 0) else size for source, size in going.items()}
        evicted = self._read(path, lambda file: file.oldest(parts))
        if not evicted:
            return ()
        left = _Held(Counter(held.large) - Counter(going), held.total - sum(going.values()))
        grows = path.stat().st_size * left.total / held.total * _GROWTH
        if before is None and not left.total:
            self._remove(path)
        elif before is not None and before.stat().st_size + grows <= self._file_bytes:
            joined = self._count(before)
            if not self._move(path, before, evicted):
                return ()
            self._remove(path, received=before)
            self._held[before] = _Held(Counter(joined.large) + Counter(left.large), joined.total + left.total)
        else:
            smaller = self._files.unfinished_of(path)
            if not self._move(path, smaller, evicted):
                return ()
            with self._files.still:
                smaller.replace(path)
            self._held[path] = left
        return evicted

    def _move(self, path: Path, to: Path, without: Sequence[Evicted]) -> bool:
        """Move all other messages of a file to another. Return False if either is damaged and set aside."""
        file = MessageFile(to, "rw" if to.exists() else "rwc")
        try:
            file.take_over(path, without)
        except StorageCorrupt:
            file.close()
            for each in (path, to):
                self._read(each, MessageFile.check)
            return False
        except BaseException:
            file.close()
            raise
        file.close(alone=True)
        return True

    def _remove(self, path: Path, *, received: Path | None = None) -> None:
        with self._files.still:
            remove(path)
            self._files.received.pop(path, None)
            if received is not None:
                self._files.received[received] += 1
        self._held.pop(path, None)
