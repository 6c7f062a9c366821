"""The job ledger's file: one SQLite database with a row per job. Every call is one transaction, on disk on return.

Owns bytes and damage; it does not run or send jobs. A record that does not match its checksum becomes a LOST result
with a message; a file that is no longer a database is set aside, never deleted, and replaced by an empty one.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

from quarterdeck.keeper.boot import boot_id
from quarterdeck.kit import damaged_files
from quarterdeck.kit.sqlite import Fault, check, fault_of, transaction
from quarterdeck.model.errors import StorageCorrupt, StorageFull, Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)

#: how long a result is kept whole after the server has stored it; afterwards only its state
RESULT_KEPT_S = 3600.0
#: how long, and for how many jobs at most, an id is kept after that: offered again, the job is answered and not run
ID_KEPT_S, IDS_KEPT = 30 * 86400.0, 100_000
#: damaged files that are kept for inspection
SET_ASIDE = 4
_WAL_LIMIT_BYTES = 4 * 1024 * 1024
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
    """The stage of a job on this node."""

    TAKEN = "TAKEN"  #: it waits for its turn
    RUNNING = "RUNNING"  #: it started, or was about to
    DONE = "DONE"  #: its result waits for the server to store it
    STORED = "STORED"  #: the server has the result
    STRIPPED = "STRIPPED"  #: the server has had the result for long; only its state is left here


class Record(Wire, frozen=True, kw_only=True):
    """The ledger's record of one job."""

    offer: JobOffer
    stage: Stage
    began: int = 0  #: of a running job, milliseconds since the epoch
    since: float = 0.0  #: the same by the monotonic clock of this boot, because the other may be set
    boot: str = ""
    result: JobResult | None = None

    @classmethod
    def running(cls, offer: JobOffer) -> Self:
        """Return the record of a job that starts now."""
        began, since = int(time.time() * 1000), time.monotonic()
        return cls(offer=offer, stage=Stage.RUNNING, began=began, since=since, boot=boot_id())

    @property
    def since_here(self) -> float | None:
        """Return `since`, if it was in this boot."""
        return self.since if self.since and self.boot == boot_id() else None

    @property
    def ran_ms(self) -> int:
        """Return how long a running job has run."""
        if self.boot == boot_id():
            return round((time.monotonic() - self.since) * 1000)
        return max(0, int(time.time() * 1000) - self.began)


class RecordFile:
    """The database at `path`. Used by one thread at a time. Raises `Unavailable` and its subclasses."""

    def __init__(self, path: Path, *, ids_kept: int = IDS_KEPT) -> None:
        self._path = path
        self._ids_kept = ids_kept
        self._connection: sqlite3.Connection | None = None

    def write(self, records: Iterable[Record], stored: Sequence[str] = (), *, now: float = 0.0) -> None:
        """Write all of `records`, and that the server has the results of `stored`: all, or on an error nothing."""
        rows = [(record.offer.id, record.stage, _pack(record)) for record in records]
        with self._transaction() as connection:
            connection.executemany(_PUT, rows)
            connection.executemany(
                "UPDATE job SET stage = ?, stored_at = ? WHERE id = ?", [(Stage.STORED, now, id_) for id_ in stored]
            )

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return the records of those of these jobs that are known."""
        with self._transaction() as connection:
            rows = [
                row
                for id_ in ids
                for row in connection.execute("SELECT id, stage, CAST(record AS BLOB) FROM job WHERE id = ?", (id_,))
            ]
        return {id_: _unpack(id_, stage, packed) for id_, stage, packed in rows}

    def live(self) -> list[Record]:
        """Return all records whose result the server does not have, in the order of acceptance."""
        query = "SELECT id, stage, CAST(record AS BLOB) FROM job WHERE stored_at IS NULL ORDER BY number"
        with self._transaction() as connection:
            rows = connection.execute(query).fetchall()
        return [_unpack(*row) for row in rows]

    def forget(self, now: float) -> None:
        """Strip results that the server has had for `RESULT_KEPT_S`; drop ids that are too old or too many."""
        whole = "SELECT id, stage, CAST(record AS BLOB) FROM job WHERE stored_at < ? AND stage = ?"
        with self._transaction() as connection:
            connection.execute("DELETE FROM job WHERE stored_at < ?", (now - ID_KEPT_S,))
            connection.execute(_DELETE_SURPLUS, (self._ids_kept,))
            for row in connection.execute(whole, (now - RESULT_KEPT_S, Stage.STORED)).fetchall():
                record = _stripped(_unpack(*row))
                connection.execute(_PUT, (record.offer.id, record.stage, _pack(record)))

    def set_aside(self) -> Path:
        """Rename the damaged files and return the new name; the next call creates an empty file."""
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
        damaged_files.set_aside(self._path, aside, pattern=f"{self._path.name}.damaged-*[0-9]", keep=SET_ASIDE)
        return aside

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def connection(self) -> sqlite3.Connection:
        """Return the database; open it, check it and create its tables when needed."""
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # the caller guarantees one thread at a time; a short lock occurs only when a second agent starts
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Write all or nothing; raise errors of SQLite as ours."""
        try:
            connection = self.connection()
            with transaction(connection):
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self.fault(error) from error

    def fault(self, error: sqlite3.Error | OSError) -> Unavailable:
        """Return SQLite's error as ours. Unless the disk is only full, the file is reopened at the next call."""
        fault = fault_of(error)
        if fault is Fault.FULL:
            return StorageFull(f"The job ledger {self._path} cannot be written: {error}.")
        self.close()
        kind = StorageCorrupt if fault is Fault.DAMAGED else Unavailable
        return kind(f"The job ledger {self._path} cannot be used: {error}.")


def _prepare(connection: sqlite3.Connection) -> None:
    # damaged bytes are found where a record is read, and affect no other
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
    # exclusive: only this process uses it, so the write-ahead log needs no shared memory file
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    check(connection)
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
    """Return the record with only its id and state."""
    offer = JobOffer(id=record.offer.id, cmd=record.offer.cmd)
    result = record.result
    if result is not None:
        reason = "The server had stored this result; the node no longer keeps more than its state."
        result = JobResult(id=result.id, state=result.state, cmd=result.cmd, reason=reason)
    return Record(offer=offer, stage=Stage.STRIPPED, result=result)
