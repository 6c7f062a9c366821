"""One SQLite file of messages: a table of all messages, and a table of their sources.

Owns the file's schema, its SQL, and the meaning of SQLite's error codes: `StorageFull` when the file cannot be written
now, `StorageCorrupt` when it is damaged. `seq` is the order in which messages arrived, over all files of a store,
whatever the clock shows; texts are blobs, because a stream's bytes need not be UTF-8. This module never decides which
files exist: the store does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

from quarterdeck.agent.messages.evicted import Evicted
from quarterdeck.agent.messages.runs import Run, Source
from quarterdeck.kit.sqlite import Fault, code_of, fault_of, transaction
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
#: codes that occur, besides damage, only when a file does not have our schema; None is an error of sqlite3 itself
_MISSHAPEN = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_READONLY, None)
#: the size of a row without its text: its numbers, and its entries in two indexes
_ROW_BYTES = 64
_EDGES = (
    "SELECT min(seq) FROM messages",
    "SELECT max(seq) FROM messages",
    "SELECT min(epoch) FROM messages",
    "SELECT max(epoch) FROM messages",
)
_NUMBER = "SELECT source FROM sources WHERE job_id = ? AND domain = ? AND name = ?"
_SIZES = "SELECT source, sum(length(data)) + ? * count(*) FROM messages GROUP BY source"
_BEHIND = """
SELECT max(seq) FROM (
    SELECT seq, sum(length(data) + ?) OVER (ORDER BY seq) AS size FROM messages WHERE source = ?
) WHERE size <= ?
"""
_MOST = """
SELECT job_id, domain, name, rows, place, (SELECT epoch FROM messages WHERE seq = place) FROM (
    SELECT source, count(*) AS rows, max(seq) AS place FROM messages GROUP BY source ORDER BY rows DESC LIMIT ?
) JOIN sources USING (source)
"""
#: the place up to which the messages of each source of `other` are left out; the join order lets SQLite use the indexes
_CUT = "INSERT INTO cut SELECT source, ? FROM other.sources WHERE job_id = ? AND domain = ? AND name = ?"
_TAKE_OVER = (
    """
    INSERT OR IGNORE INTO main.sources (job_id, domain, name)
    SELECT job_id, domain, name FROM other.sources AS old LEFT JOIN temp.cut USING (source)
    WHERE EXISTS (SELECT 1 FROM other.messages WHERE source = old.source AND seq > coalesce(cut.place, 0))
    """,
    """
    INSERT OR IGNORE INTO main.messages
    SELECT seq, id, new.source, epoch, level, marks, data
    FROM other.sources AS old LEFT JOIN temp.cut USING (source)
    CROSS JOIN main.sources AS new
    ON new.job_id = old.job_id AND new.domain = old.domain AND new.name = old.name
    CROSS JOIN other.messages AS moved ON moved.source = old.source AND moved.seq > coalesce(cut.place, 0)
    ORDER BY seq
    """,
)
#: larger than all places and times
_FAR = 1 << 62


#: by process; the process manager defines the content
Readings = Mapping[str, bytes | None]
_NO_READINGS: Readings = {}
#: SQLite's modes: create the file if it does not exist, open an existing one, or only read it
Mode = Literal["rwc", "rw", "ro"]


class MessageFile:
    """An open file. Used by one thread at a time."""

    def __init__(self, path: Path, mode: Mode = "rwc") -> None:
        """Open the file. Nothing is written to a file that exists already."""
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
            run("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut loses the newest messages
            run(f"PRAGMA journal_size_limit = {4 << 20}")
            self._database.executescript(_SCHEMA)
        # One query each: SQLite reads the whole table when they are combined.
        found = [self._one(sql) for sql in _EDGES]
        if not all(each is None or _is_number(each) for each in found):
            raise StorageCorrupt(f"{self.path} is damaged: places and times are {found}.")
        self.first, self.last, self.oldest_ms, self.newest_ms = found
        self.last_id: int | None = self._one("SELECT id FROM messages ORDER BY seq DESC LIMIT 1")

    @property
    def size_bytes(self) -> int:
        """Return the size of the file, once everything of the write-ahead log is in it."""
        with self._errors():
            return int(self._one("PRAGMA page_size")) * int(self._one("PRAGMA page_count"))

    @staticmethod
    def room_for(run: Run) -> int:
        """Return about how many bytes the file grows by when `run` is added."""
        return run.size_bytes + _ROW_BYTES * len(run)

    def insert(self, runs: Sequence[Run], *, first: int, readings: Readings = _NO_READINGS) -> None:
        """Add runs whose messages have ids, in one transaction; the first message gets the place `first`.

        `readings`: how far each process was read with these messages; None removes the entry of a process.
        """
        seq = first
        known = dict(self._sources)
        with self._errors(), transaction(self._database):
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
        """Return matching messages beyond `cursor`, with their places: as many as the filter's limit, and one more."""
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
                    raise StorageCorrupt(f"{self.path} is damaged: a message has values of wrong types.")
                yield seq, _message(seq, row)

    def readings(self) -> dict[str, bytes | None]:
        """Return how far each process was read, according to this file."""
        with self._errors():
            if self._one("SELECT 1 FROM sqlite_master WHERE name = 'readings'") is None:
                return {}
            return dict(self._database.execute("SELECT process, reading FROM readings"))

    def delete(self, wanted: MessageFilter) -> int:
        """Delete all matching messages; return how many they were."""
        where, values = _conditions(wanted)
        with self._errors(), transaction(self._database):
            done = self._database.execute(f"DELETE FROM messages WHERE {' AND '.join(where)}", values)  # noqa: S608
            return done.rowcount

    def sizes(self, *, at_least: int) -> tuple[dict[Source, int], int]:
        """Return the bytes of each source that has at least this many, and of all sources together."""
        with self._errors():
            found: dict[int, int] = dict(self._database.execute(_SIZES, (_ROW_BYTES,)))
            large = {number: size for number, size in found.items() if size >= at_least}
            return {self._named(number): size for number, size in large.items()}, sum(found.values())

    def oldest(self, parts: Mapping[Source, int | None]) -> list[Evicted]:
        """Return the oldest messages of these sources, as many as make up the given bytes; None means all."""
        with self._errors():
            found = (self._oldest(source, size) for source, size in parts.items())
            return [each for each in found if each is not None]

    def most(self, limit: int) -> list[Evicted]:
        """Return all messages of the sources that have the most of them."""
        with self._errors():
            rows = self._database.execute(_MOST, (limit,))
            fields = ("job_id", "domain", "name", "rows", "place", "epoch")
            return [Evicted(**dict(zip(fields, row, strict=True))) for row in rows]

    def take_over(self, other: Path, without: Sequence[Evicted]) -> None:
        """Add the content of another file, except these messages, in one transaction."""
        with self._errors():
            self._database.executescript(_SCHEMA)
            self._database.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
            self._database.execute("CREATE TEMP TABLE cut (source INTEGER PRIMARY KEY, place INTEGER NOT NULL)")
            cuts = ((each.place, each.job_id, each.domain, each.name) for each in without)
            self._database.executemany(_CUT, cuts)
            with transaction(self._database):
                for sql in _TAKE_OVER:
                    self._database.execute(sql)
                if self._one("SELECT 1 FROM other.sqlite_master WHERE name = 'readings'"):
                    self._database.execute("INSERT OR REPLACE INTO main.readings SELECT * FROM other.readings")
            self._database.execute("DETACH other")

    def count(self) -> int:
        """Return how many messages the file holds."""
        with self._errors():
            return int(self._one("SELECT count(*) FROM messages") or 0)

    def count_between(self, wanted: MessageFilter, *, after: int, before: int) -> int:
        """Return how many matching messages lie between these two places, both excluded."""
        where, values = _conditions(wanted)
        sql = f"SELECT count(*) FROM messages WHERE {' AND '.join(where)} AND seq > ? AND seq < ?"  # noqa: S608
        with self._errors():
            return int(self._database.execute(sql, (*values, after, before)).fetchone()[0])

    def check(self) -> None:
        """Read the whole file; raise `StorageCorrupt` when something is damaged."""
        with self._errors():
            found = self._one("PRAGMA quick_check(1)")
        if found != "ok":
            raise StorageCorrupt(f"{self.path} is damaged: {found}.")

    def close(self, *, alone: bool = False) -> None:
        """Close the file. `alone`: put everything into the one file first, so that it can be renamed."""
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

    def _named(self, number: int) -> Source:
        sql = "SELECT job_id, domain, name FROM sources WHERE source = ?"
        return Source(*self._database.execute(sql, (number,)).fetchone())

    def _oldest(self, source: Source, size: int | None) -> Evicted | None:
        names = (source.job_id, source.domain, source.name)
        found = self._database.execute(_NUMBER, names).fetchone()
        if found is None:
            return None
        number = found[0]
        behind = _FAR if size is None else self._database.execute(_BEHIND, (_ROW_BYTES, number, size)).fetchone()[0]
        sql = "SELECT count(*), max(seq) FROM messages WHERE source = ? AND seq <= ?"
        rows, place = self._database.execute(sql, (number, behind or 0)).fetchone()
        if not rows:
            return None
        epoch = self._database.execute("SELECT epoch FROM messages WHERE seq = ?", (place,)).fetchone()[0]
        return Evicted(
            job_id=source.job_id, domain=source.domain, name=source.name, rows=rows, place=place, epoch=epoch
        )

    def _source(self, source: Source, known: dict[Source, int]) -> int:
        number = known.get(source)
        if number is None:
            values = (source.job_id, source.domain, source.name)
            self._database.execute("INSERT OR IGNORE INTO sources (job_id, domain, name) VALUES (?, ?, ?)", values)
            number = known[source] = int(self._database.execute(_NUMBER, values).fetchone()[0])
        return number

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Raise SQLite's errors as `StorageCorrupt` or `StorageFull`."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.NotSupportedError):
            raise  # a programming error, not damage
        except UnicodeDecodeError as error:  # from names in the file, or from SQLite's own message
            raise StorageCorrupt(f"{self.path} is damaged: {error}.") from error
        except sqlite3.DatabaseError as error:
            if fault_of(error) is Fault.DAMAGED or code_of(error) in _MISSHAPEN:
                raise StorageCorrupt(f"{self.path} is damaged: {error}.") from error
            raise StorageFull(f"{self.path} cannot be used now: {error}.", hint="Is the disk full?") from error


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
    """Return whether the value is a number as this module stores them; damage can replace it by any other value."""
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
