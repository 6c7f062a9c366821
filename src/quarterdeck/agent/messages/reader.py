"""Finds messages in all files of a store, one page at a time, while more are stored.

Owns SQLite connections that cannot write, so it may work on another thread than the store. A page shows one state:
what was stored when it was requested. While the current file is read it is not renamed, so a store whose file is full
waits for that one read; full files are read while others are renamed and removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from quarterdeck.agent.messages.evicted import EvictionRecord
from quarterdeck.agent.messages.file import MessageFile
from quarterdeck.agent.messages.files import Files
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.messages import Message, MessageFilter, MessagePage

#: about how many encoded bytes one page holds; its first message is included however large it is
PAGE_BYTES = 1024 * 1024
_ENTRY_BYTES = 120

#: called with the file that is damaged, and the error
Damaged = Callable[[Path, StorageCorrupt], None]


class MessageReader:
    """Finds pages of messages. Used by one thread at a time."""

    def __init__(self, files: Files, evicted: EvictionRecord) -> None:
        self._files = files
        self._evicted = evicted

    def select(self, wanted: MessageFilter, *, before: int, page_bytes: int, damaged: Damaged) -> MessagePage:
        """Return the next page of matching messages whose place is below `before`, in about `page_bytes`."""
        page = _Page(wanted, before, page_bytes)
        if wanted.newest_first:
            self._newest_first(page, damaged)
        else:
            self._oldest_first(page, damaged)
        page.problems += (
            f"{path.name} was damaged and is set aside; its messages are missing until it is repaired or removed."
            for path in self._files.damaged()
        )
        page.problems += self._evicted.words(wanted, more=page.more)
        return page.done()

    def newest(self, wanted: MessageFilter, *, before: int, page_bytes: int, damaged: Damaged) -> MessagePage:
        """Return the newest page of matching messages behind the cursor, and count the messages that it leaves out."""
        after = int(wanted.cursor or 0)
        backwards = msgspec.structs.replace(wanted, newest_first=True, cursor="")
        found = self.select(backwards, before=before, page_bytes=page_bytes, damaged=damaged)
        messages = tuple(message for message in reversed(found.messages) if message.place > after)
        problems = [*found.problems, *self._evicted.words(wanted, more=True)]
        left_out = 0

        def count(file: MessageFile) -> None:
            nonlocal left_out
            left_out += file.count_between(wanted, after=after, before=messages[0].place)

        if messages:
            with self._files.still:  # no message moves to another file while they are counted
                for path in (*self._files.full(), self._files.current):
                    self._use(path, count, problems, damaged)
        return MessagePage(
            messages=messages, resume=found.resume, left_out=left_out, problems=tuple(dict.fromkeys(problems))
        )

    def _oldest_first(self, page: _Page, damaged: Damaged) -> None:
        read: dict[Path, int] = {}
        received = self._files.received
        while not page.more:
            with self._files.still:
                path = next((path for path in self._files.full() if read.get(path) != received[path]), None)
                if path is None:  # and none becomes full before the current one is read
                    self._take(self._files.current, page, damaged)
                    return
                read[path] = received[path]
            self._take(path, page, damaged)

    def _newest_first(self, page: _Page, damaged: Damaged) -> None:
        with self._files.still:
            full = self._files.full()
            self._take(self._files.current, page, damaged)
        for path in reversed(full):
            if page.more:
                return
            self._take(path, page, damaged)

    def _take(self, path: Path, page: _Page, damaged: Damaged) -> None:
        """Add the matching messages of one file, if it still exists; an error becomes a problem of the page."""
        self._use(path, page.take, page.problems, damaged)

    def _use(self, path: Path, use: Callable[[MessageFile], None], problems: list[str], damaged: Damaged) -> None:
        try:
            with self._files.still:
                if not path.exists():
                    return
                file = MessageFile(path, "ro")
            try:
                use(file)
            finally:
                file.close()
        except StorageCorrupt as error:
            try:
                damaged(path, error)
            except StorageFull as refused:
                problems.append(str(refused))
        except StorageFull as error:
            problems.append(str(error))


class _Page:
    """The page that is being filled."""

    def __init__(self, wanted: MessageFilter, before: int, page_bytes: int) -> None:
        self._wanted = wanted
        self._before = before
        self._page_bytes = page_bytes
        self._messages: list[Message] = []
        self._bytes = 0
        self._cursor = int(wanted.cursor) if wanted.cursor else None
        if wanted.newest_first:
            self._cursor = before if self._cursor is None else min(self._cursor, before)
        self.more = False  #: not all matching messages fit
        self.problems: list[str] = []

    def take(self, file: MessageFile) -> None:
        """Add the matching messages of the next file in order, as far as they fit."""
        if not _may_match(file, self._wanted, self._cursor):
            return
        for place, message in file.select(self._wanted, cursor=self._cursor):
            if place >= self._before:  # stored after the request
                return
            self._bytes += _size(message)
            found = len(self._messages)
            self.more = found == self._wanted.limit or (found > 0 and self._bytes > self._page_bytes)
            if self.more:
                return
            self._messages.append(message)
            self._cursor = place

    def done(self) -> MessagePage:
        """Return the page as the answer."""
        end = str(self._before - 1)
        here = str(self._cursor) if self.more else end
        return MessagePage(
            messages=tuple(self._messages),
            cursor=here if self.more else None,
            resume=end if self._wanted.newest_first else here,
            problems=tuple(self.problems),
        )


def _size(message: Message) -> int:
    """Return about how many bytes the message takes on the link; a byte that is not UTF-8 counts as three."""
    names = len(message.job_id) + len(message.domain) + len(message.name)
    text = 4 * len(message.raw) if message.raw else len(message.data.encode())
    return text + names + _ENTRY_BYTES


def _may_match(file: MessageFile, wanted: MessageFilter, cursor: int | None) -> bool:
    """Return whether the file may hold matching messages, by its range of places and times."""
    if file.first is None or file.last is None or file.oldest_ms is None or file.newest_ms is None:
        return False
    if cursor is not None and (file.first >= cursor if wanted.newest_first else file.last <= cursor):
        return False
    early = wanted.time_to is not None and file.oldest_ms >= wanted.time_to
    return not early and not (wanted.time_from is not None and file.newest_ms < wanted.time_from)
