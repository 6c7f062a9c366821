"""Finds messages in all files of a store, a page at a time, while more are stored.

It has SQLite connections of its own, which cannot write, and so may work on another thread than the store. A page is of
one state: of what was stored when it was asked for. While the current file is read it is not renamed, so a store whose
file is full waits for that one file; full files are read while others are renamed and removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quarterdeck.agent.messages.file import MessageFile
from quarterdeck.agent.messages.files import Files
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.messages import Message, MessageFilter, MessagePage

#: what the messages of one page take when they are encoded, nearly; the first has its place however large it is
PAGE_BYTES = 1024 * 1024
_ENTRY_BYTES = 120

#: is told which file is damaged, and how
Damaged = Callable[[Path, StorageCorrupt], None]


class MessageReader:
    """For one thread at a time."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def select(self, wanted: MessageFilter, *, before: int, page_bytes: int, damaged: Damaged) -> MessagePage:
        """The next page of what matches and has a place below `before`, in about `page_bytes`."""
        page = _Page(wanted, before, page_bytes)
        if wanted.newest_first:
            self._newest_first(page, damaged)
        else:
            self._oldest_first(page, damaged)
        page.problems += (
            f"{path.name} was damaged and is set aside; its messages are missing until it is repaired or removed."
            for path in self._files.damaged()
        )
        return page.done()

    def _oldest_first(self, page: _Page, damaged: Damaged) -> None:
        read = set[Path]()
        while not page.more:
            with self._files.still:
                path = next((path for path in self._files.full() if path not in read), None)
                if path is None:  # and none becomes full before the current one is read
                    self._take(self._files.current, page, damaged)
                    return
            self._take(path, page, damaged)
            read.add(path)

    def _newest_first(self, page: _Page, damaged: Damaged) -> None:
        with self._files.still:
            full = self._files.full()
            self._take(self._files.current, page, damaged)
        for path in reversed(full):
            if page.more:
                return
            self._take(path, page, damaged)

    def _take(self, path: Path, page: _Page, damaged: Damaged) -> None:
        """What one file has; nothing when it was removed meanwhile. When it cannot be read, the page says so."""
        try:
            with self._files.still:
                if not path.exists():
                    return
                file = MessageFile(path, "ro")
            try:
                page.take(file)
            finally:
                file.close()
        except StorageCorrupt as error:
            try:
                damaged(path, error)
            except StorageFull as refused:
                page.problems.append(str(refused))
        except StorageFull as error:
            page.problems.append(str(error))


class _Page:
    """What was found so far."""

    def __init__(self, wanted: MessageFilter, before: int, page_bytes: int) -> None:
        self._wanted = wanted
        self._before = before
        self._page_bytes = page_bytes
        self._messages: list[Message] = []
        self._bytes = 0
        self._cursor = int(wanted.cursor) if wanted.cursor else None
        if wanted.newest_first:
            self._cursor = before if self._cursor is None else min(self._cursor, before)
        self.more = False  #: there is no room for all that matches
        self.problems: list[str] = []

    def take(self, file: MessageFile) -> None:
        """What matches in the file that is next in order, as far as there is room."""
        if not _may_match(file, self._wanted, self._cursor):
            return
        for place, message in file.select(self._wanted, cursor=self._cursor):
            if place >= self._before:  # it was stored meanwhile
                return
            self._bytes += _size(message)
            found = len(self._messages)
            self.more = found == self._wanted.limit or (found > 0 and self._bytes > self._page_bytes)
            if self.more:
                return
            self._messages.append(message)
            self._cursor = place

    def done(self) -> MessagePage:
        """As it is answered."""
        end = str(self._before - 1)
        here = str(self._cursor) if self.more else end
        return MessagePage(
            messages=tuple(self._messages),
            cursor=here if self.more else None,
            resume=end if self._wanted.newest_first else here,
            problems=tuple(self.problems),
        )


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
