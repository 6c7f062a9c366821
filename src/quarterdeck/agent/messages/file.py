"""One SQLite file of messages: all in one table, beside it a table of whose they are.

Owns the file's shape, its SQL, and the meaning of SQLite's error codes: `StorageFull` when it cannot be written now,
`StorageCorrupt` when it is damaged. `seq` is the order in which messages came, over all files of a store, whatever the
clock says; texts are blobs, as a stream's bytes need not be UTF-8. Which files there are is the store's business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

from quarterdeck.agent.messages.runs import Run, Source
from quarterdeck.model.errors import StorageCorrupt, StorageFull
from quarterdeck.model.messages import Levels, Message, MessageFilter

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    source INTEGER PRIMARY KEY, job_id TEXT NOT NULL, domain TEXT NOT NULL, name TEXT NOT NULL,
    UNIQUE (job_id, domain, name)
);
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, source INTEGER NOT NULL, epoch INTEGER NOT NULL,
    level INTEGER NOT NULL, marks INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS readings (process TEXT PRIMARY KEY, reading BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_source ON messages (source);
CREATE INDEX IF NOT EXISTS messages_epoch ON messages (epoch);
"""
#: damage, and what only happens when a file is not of the shape that we gave it
_DAMAGED = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_READONLY,
)
_SIDES = ("-wal", "-shm", "-journal")
#: what a row takes beside its text: its numbers, and its places in two indexes
_ROW_BYTES = 64
_EDGES = (
    "SELECT min(seq) FROM messages",
    "SELECT max(seq) FROM messages",
    "SELECT min(epoch) FROM messages",
    "SELECT max(epoch) FROM messages",
)
#: beyond all places and times
_FAR = 1 << 62


#: by process; what is in it is the process manager's business
Readings = Mapping[str, bytes | None]
_NO_READINGS: Readings = {}
#: SQLite's words: whether a file is made when there is none, is there already, or is only read
Mode = Literal["rwc", "rw", "ro"]


class MessageFile:
    """An open file. For one thread at a time."""

    def __init__(self, path: Path, mode: Mode = "rwc") -> None:
        """Open it; to open one that is there already nothing is written."""
        self.path = path
        self._sources: dict[Source, int] = {}
        address = f"{path.absolute().as_uri()}?mode={mode}"
        with self._errors():
            self._database = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        try:
            with self._errors():
                self._prepare(mode)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, mode: Mode) -> None:
        run = self._database.execute
        run("PRAGMA cache_size = -2048")  # KiB
        if mode == "rwc":
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut what came since the last checkpoint
            run(f"PRAGMA journal_size_limit = {4 << 20}")
            self._database.executescript(_SCHEMA)
        # Each by itself: asked for together, SQLite reads the whole table.
        found = [self._one(sql) for sql in _EDGES]
        if not all(each is None or _is_number(each) for each in found):
            raise StorageCorrupt(f"{self.path} is damaged: places and times are {found}.")
        self.first, self.last, self.oldest_ms, self.newest_ms = found
        self.last_id: int | None = self._one("SELECT id FROM messages ORDER BY seq DESC LIMIT 1")

    @property
    def size_bytes(self) -> int:
        """Of the file itself, once everything is in it."""
        with self._errors():
            return int(self._one("PRAGMA page_size")) * int(self._one("PRAGMA page_count"))

    @staticmethod
    def room_for(run: Run) -> int:
        """Bytes that the file grows by when `run` is added, at most; nearly."""
        return run.size_bytes + _ROW_BYTES * len(run)

    def insert(self, runs: Sequence[Run], *, first: int, readings: Readings = _NO_READINGS) -> None:
        """Add runs whose messages have ids, in one transaction; the first gets the place `first`, the next follow.

        `readings` say how far each process was read with these; None: that need not be known any more.
        """
        seq = first
        known = dict(self._sources)
        with self._errors(), self._transaction():
            for run in runs:
                self._database.executemany(
                    "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
                    zip(
                        range(seq, seq + len(run)),
                        run.ids,
                        repeat(self._source(run.source, known)),
                        repeat(run.epoch_ms),
                        run.levels,
                        run.marks,
                        run.texts,
                        strict=False,  # `repeat` has no end
                    ),
                )
                seq += len(run)
            self._database.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?)", readings.items())
        self._sources = known
        if seq > first:
            times = [run.epoch_ms for run in runs]
            self.first = first if self.first is None else self.first
            self.oldest_ms = min(times) if self.oldest_ms is None else min(self.oldest_ms, *times)
            self.newest_ms = max(times) if self.newest_ms is None else max(self.newest_ms, *times)
            self.last = seq - 1

    def select(self, wanted: MessageFilter, *, cursor: int | None) -> Iterator[tuple[int, Message]]:
        """The messages that match beyond `cursor`, with their places, as many as the filter's limit and one more."""
        with self._errors():
            where, values = _conditions(wanted)
            if cursor is not None:
                where.append("seq < ?" if wanted.newest_first else "seq > ?")
                values.append(cursor)
            order = "DESC" if wanted.newest_first else "ASC"
            what = "seq, id, epoch, level, marks, data, job_id, domain, name FROM messages JOIN sources USING (source)"
            sql = f"SELECT {what} WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?"
            rows = self._database.execute(sql, (*values, wanted.limit + 1))
            for seq, *row in rows:
                if not (all(map(_is_number, row[:4])) and isinstance(row[4], bytes)):
                    raise StorageCorrupt(f"{self.path} is damaged: a message has other values than were stored.")
                yield seq, _message(seq, row)

    def readings(self) -> dict[str, bytes | None]:
        """How far processes were read, as far as this file knows."""
        with self._errors():
            if self._one("SELECT 1 FROM sqlite_master WHERE name = 'readings'") is None:
                return {}
            return dict(self._database.execute("SELECT process, reading FROM readings"))

    def delete(self, wanted: MessageFilter) -> int:
        """Delete all that match; how many they were."""
        where, values = _conditions(wanted)
        with self._errors(), self._transaction():
            done = self._database.execute(f"DELETE FROM messages WHERE {' AND '.join(where)}", values)  # noqa: S608
            return done.rowcount

    def count(self) -> int:
        """How many messages it holds."""
        with self._errors():
            return int(self._one("SELECT count(*) FROM messages") or 0)

    def check(self) -> None:
        """Read all of it; `StorageCorrupt` when something is damaged."""
        with self._errors():
            found = self._one("PRAGMA quick_check(1)")
        if found != "ok":
            raise StorageCorrupt(f"{self.path} is damaged: {found}.")

    def close(self, *, alone: bool = False) -> None:
        """Close it; `alone`: first put everything into the one file, so that it can be renamed."""
        try:
            if alone:
                with self._errors():
                    self._database.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._database.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _one(self, sql: str) -> Any:
        found = self._database.execute(sql).fetchone()
        return found[0] if found else None

    def _source(self, source: Source, known: dict[Source, int]) -> int:
        number = known.get(source)
        if number is None:
            values = (source.job_id, source.domain, source.name)
            self._database.execute("INSERT OR IGNORE INTO sources (job_id, domain, name) VALUES (?, ?, ?)", values)
            sql = "SELECT source FROM sources WHERE job_id = ? AND domain = ? AND name = ?"
            number = known[source] = int(self._database.execute(sql, values).fetchone()[0])
        return number

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Generator[None]:
        """SQLite's errors in our words."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.NotSupportedError):
            raise  # a fault of ours, not the file's
        except UnicodeDecodeError as error:  # of names in the file, also in SQLite's own words
            raise StorageCorrupt(f"{self.path} is damaged: {error}.") from error
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in _DAMAGED:
                raise StorageCorrupt(f"{self.path} is damaged: {error}.") from error
            raise StorageFull(f"{self.path} cannot be used now: {error}.", hint="Is the disk full?") from error


def rename(path: Path, to: Path) -> None:
    """Rename a closed file, and what SQLite keeps beside it."""
    path.replace(to)
    for side in _SIDES:
        beside = path.with_name(path.name + side)
        if beside.exists():
            beside.replace(to.with_name(to.name + side))


def remove(path: Path) -> None:
    """Delete a closed file, and what SQLite keeps beside it."""
    for name in (path.name, *(path.name + side for side in _SIDES)):
        path.with_name(name).unlink(missing_ok=True)


def _conditions(wanted: MessageFilter) -> tuple[list[str], list[object]]:
    where, values = ["TRUE"], list[object]()
    named = {"job_id": wanted.job_id, "domain": wanted.domain, "name": wanted.name}
    named = {column: value for column, value in named.items() if value is not None}
    if named:
        same = " AND ".join(f"{column} = ?" for column in named)
        where.append(f"source IN (SELECT source FROM sources WHERE {same})")  # noqa: S608
        values += named.values()
    if wanted.time_from is not None:
        where.append("epoch >= ?")
        values.append(wanted.time_from)
    if wanted.time_to is not None:
        where.append("epoch < ?")
        values.append(wanted.time_to)
    levels = Levels.parse(wanted.levels)
    if levels != Levels.parse("*"):
        where.append(f"level IN ({', '.join('?' * len(levels.numbers))})")
        values += sorted(levels.numbers)
    if wanted.text:
        where.append("instr(data, ?) > 0")
        values.append(wanted.text.encode("utf-8", "surrogateescape"))
    return where, values


def _is_number(value: object) -> bool:
    """Whether it is one as we store them; damage can make anything of it."""
    return isinstance(value, int) and abs(value) < _FAR


def _message(seq: int, row: Sequence[Any]) -> Message:
    number, epoch, level, marks, data, job_id, domain, name = row
    try:
        text, raw = data.decode(), b""
    except UnicodeDecodeError:
        text, raw = data.decode("utf-8", "replace"), data
    return Message(
        id=number,
        job_id=job_id,
        domain=domain,
        name=name,
        epoch=epoch,
        level=level,
        marks=marks,
        data=text,
        raw=raw,
        place=seq,
    )
