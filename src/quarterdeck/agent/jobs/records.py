"""The job ledger's file: one SQLite database, a row for each job, every call one transaction that is on disk on return.

Knows bytes and damage, nothing of running or sending. A record that does not match its checksum becomes a LOST result
in words; a file that is no database any more is set aside, never deleted, and an empty one takes its place.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

from quarterdeck.agent.boot import boot_id
from quarterdeck.model.errors import StorageCorrupt, StorageFull, Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)

#: how long a result is kept whole after the server has stored it; then only that it was, and its state
RESULT_KEPT_S = 3600.0
#: how long, and for how many jobs at most, an id is remembered after that: offered again, it is answered and not run
ID_KEPT_S, IDS_KEPT = 30 * 86400.0, 100_000
#: damaged files kept for a person to look at
SET_ASIDE = 4
_WAL_LIMIT_BYTES = 4 * 1024 * 1024
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL = frozenset({sqlite3.SQLITE_FULL})
_CHECKSUM_BYTES = 4

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    number INTEGER PRIMARY KEY,      -- the order of acceptance
    id TEXT NOT NULL UNIQUE,
    stage TEXT NOT NULL,
    record BLOB NOT NULL,            -- CRC-32, then a Record as msgpack
    stored_at REAL                   -- when the server said that it has the result; seconds since the epoch
);
CREATE INDEX IF NOT EXISTS job_stored ON job (stored_at) WHERE stored_at IS NOT NULL;
"""
_PUT = """
INSERT INTO job (id, stage, record) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, record = excluded.record
"""
_DELETE_SURPLUS = """
DELETE FROM job WHERE number IN
    (SELECT number FROM job WHERE stored_at IS NOT NULL ORDER BY stored_at DESC LIMIT -1 OFFSET ?)
"""


class Stage(StrEnum):
    """How far this node is with a job."""

    TAKEN = "TAKEN"  #: it waits for its turn
    RUNNING = "RUNNING"  #: it began, or was about to
    DONE = "DONE"  #: its result waits for the server to store it
    STORED = "STORED"  #: the server has the result
    STRIPPED = "STRIPPED"  #: it has had it for long; here only its state is left


class Record(Wire, frozen=True, kw_only=True):
    """What the ledger has of one job."""

    offer: JobOffer
    stage: Stage
    began: int = 0  #: of one that runs, milliseconds since the epoch
    since: float = 0.0  #: the same by the monotonic clock of this boot: somebody may have set the other
    boot: str = ""
    result: JobResult | None = None

    @classmethod
    def running(cls, offer: JobOffer) -> Self:
        """It begins now."""
        began, since = int(time.time() * 1000), time.monotonic()
        return cls(offer=offer, stage=Stage.RUNNING, began=began, since=since, boot=boot_id())

    @property
    def since_here(self) -> float | None:
        """`since`, if it was in this boot."""
        return self.since if self.since and self.boot == boot_id() else None

    @property
    def ran_ms(self) -> int:
        """Of one that runs: for how long."""
        if self.boot == boot_id():
            return round((time.monotonic() - self.since) * 1000)
        return max(0, int(time.time() * 1000) - self.began)


class RecordFile:
    """The database at `path`. Used by one thread at a time. Raises `Unavailable` and its kinds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def write(self, records: Iterable[Record], stored: Sequence[str] = (), *, now: float = 0.0) -> None:
        """Put all of `records`, and note that the server has the results of `stored`: both or, on an error, neither."""
        rows = [(record.offer.id, record.stage, _pack(record)) for record in records]
        with _Transaction(self) as connection:
            connection.executemany(_PUT, rows)
            connection.executemany(
                "UPDATE job SET stage = ?, stored_at = ? WHERE id = ?", [(Stage.STORED, now, id_) for id_ in stored]
            )

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """The records of those that are known."""
        with _Transaction(self) as connection:
            rows = [
                row
                for id_ in ids
                for row in connection.execute("SELECT id, stage, CAST(record AS BLOB) FROM job WHERE id = ?", (id_,))
            ]
        return {id_: _unpack(id_, stage, packed) for id_, stage, packed in rows}

    def live(self) -> list[Record]:
        """All whose result the server does not have, in the order of acceptance."""
        query = "SELECT id, stage, CAST(record AS BLOB) FROM job WHERE stored_at IS NULL ORDER BY number"
        with _Transaction(self) as connection:
            rows = connection.execute(query).fetchall()
        return [_unpack(*row) for row in rows]

    def forget(self, now: float) -> None:
        """Strip results that the server has had for `RESULT_KEPT_S`; drop ids that are too old or too many."""
        whole = "SELECT id, stage, CAST(record AS BLOB) FROM job WHERE stored_at < ? AND stage = ?"
        with _Transaction(self) as connection:
            connection.execute("DELETE FROM job WHERE stored_at < ?", (now - ID_KEPT_S,))
            connection.execute(_DELETE_SURPLUS, (IDS_KEPT,))
            for row in connection.execute(whole, (now - RESULT_KEPT_S, Stage.STORED)).fetchall():
                record = _stripped(_unpack(*row))
                connection.execute(_PUT, (record.offer.id, record.stage, _pack(record)))

    def set_aside(self) -> Path:
        """Rename the damaged files; the next call begins an empty one. The new name."""
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
        for suffix in ("-wal", "-journal", ""):
            file = Path(f"{self._path}{suffix}")
            if file.exists():
                file.rename(f"{aside}{suffix}")
        older = sorted(self._path.parent.glob(f"{self._path.name}.damaged-*[0-9]"))
        for old in older[:-SET_ASIDE]:
            for suffix in ("-wal", "-journal", ""):
                Path(f"{old}{suffix}").unlink(missing_ok=True)
        return aside

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def connection(self) -> sqlite3.Connection:
        """The open database; opened, checked and given its tables when it was not."""
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # one thread at a time is the caller's promise; a short lock is only seen when a second agent is starting
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def fault(self, error: sqlite3.Error | OSError) -> Unavailable:
        """SQLite's error in our words. Unless the disk is just full, the file is opened anew at the next call."""
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _FULL:
            return StorageFull(f"The job ledger {self._path} cannot be written: {error}.")
        self.close()
        kind = StorageCorrupt if code in _DAMAGE else Unavailable
        return kind(f"The job ledger {self._path} cannot be used: {error}.")


class _Transaction:
    """`with` this: all or nothing, errors of SQLite as ours."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = self._file.connection()
            self._connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, OSError) as error:
            raise self._file.fault(error) from error
        return self._connection

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
            else:
                self._roll_back()
        except sqlite3.Error as failure:
            self._roll_back()
            raise self._file.fault(failure) from failure
        if isinstance(error, sqlite3.Error):
            raise self._file.fault(error) from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite may have rolled back by itself
            self._connection.execute("ROLLBACK")


def _prepare(connection: sqlite3.Connection) -> None:
    # rotten bytes are met where a record is read, and spoil no other
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
    # exclusive: only this process uses it, and so the index of the log needs no shared memory file
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    connection.executescript(_SCHEMA)


def _pack(record: Record) -> bytes:
    body = msgspec.msgpack.encode(record)
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") + body


def _unpack(id_: str, stage: str, packed: bytes) -> Record:
    body = packed[_CHECKSUM_BYTES:]
    try:
        if zlib.crc32(body) != int.from_bytes(packed[:_CHECKSUM_BYTES], "big"):
            raise msgspec.DecodeError("it does not match its checksum")
        record = msgspec.msgpack.decode(body, type=Record)
        return msgspec.structs.replace(record, stage=Stage(stage))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        log.error("the job ledger's record of job '%s' is damaged: %s", id_, error)
        reason = f"The node's record of this job is damaged: {error}."
        return Record(
            offer=JobOffer(id=id_, cmd=""),
            stage=Stage.STRIPPED if stage in {Stage.STORED, Stage.STRIPPED} else Stage.DONE,
            result=JobResult(id=id_, state=JobState.LOST, reason=reason),
        )


def _stripped(record: Record) -> Record:
    """What is left when only the id and the state matter."""
    offer = JobOffer(id=record.offer.id, cmd=record.offer.cmd)
    result = record.result
    if result is not None:
        reason = "The server had stored this result; the node no longer keeps more than its state."
        result = JobResult(id=result.id, state=result.state, cmd=result.cmd, reason=reason)
    return Record(offer=offer, stage=Stage.STRIPPED, result=result)
