"""SQLite files: the meaning of errors, transactions, and the files that SQLite keeps beside a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

#: what SQLite keeps beside a database, by the end of its name
SIDES = ("-wal", "-shm", "-journal")


class Fault(Enum):
    """A fault of the file or its disk, not of the statement."""

    FULL = "full"  #: the disk has no room
    DAMAGED = "damaged"  #: the file is no sound database
    UNUSABLE = "unusable"  #: it is locked, or cannot be opened, read or written now


_FAULTS = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
    sqlite3.SQLITE_BUSY: Fault.UNUSABLE,
    sqlite3.SQLITE_LOCKED: Fault.UNUSABLE,
    sqlite3.SQLITE_PROTOCOL: Fault.UNUSABLE,  # too many connections began to read at once
    sqlite3.SQLITE_INTERRUPT: Fault.UNUSABLE,
    sqlite3.SQLITE_NOMEM: Fault.UNUSABLE,
    sqlite3.SQLITE_IOERR: Fault.UNUSABLE,
    sqlite3.SQLITE_CANTOPEN: Fault.UNUSABLE,
    sqlite3.SQLITE_READONLY: Fault.UNUSABLE,
}


def code_of(error: BaseException | None) -> int | None:
    """Return SQLite's primary result code, or None when the error does not come from the SQLite library."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def fault_of(error: BaseException | None) -> Fault | None:
    """Return what is wrong with the file or its disk, or None when the statement was wrong."""
    code = code_of(error)
    return None if code is None else _FAULTS.get(code)


def check(connection: sqlite3.Connection) -> None:
    """Raise a DatabaseError that is `Fault.DAMAGED` when SQLite's quick check finds damage."""
    ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Write all that the body writes, or nothing when it raises. The connection is in autocommit mode."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def rename(path: Path, to: Path) -> None:
    """Rename a closed database, and what SQLite keeps beside it; those first, as they are of no use alone."""
    for side in (*SIDES, ""):
        beside = path.with_name(path.name + side)
        if beside.exists():
            beside.replace(to.with_name(to.name + side))


def remove(path: Path) -> None:
    """Delete a closed database, and what SQLite keeps beside it."""
    for side in ("", *SIDES):
        path.with_name(path.name + side).unlink(missing_ok=True)
