"""What SQLite's errors mean, transactions, and the files beside a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quarterdeck.kit.sqlite import Fault, check, code_of, fault_of, remove, rename, transaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        yield connection


def test_a_transaction_writes_all_or_nothing(database: sqlite3.Connection) -> None:
    with transaction(database):
        database.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError), transaction(database):
        database.executemany("INSERT INTO t VALUES (?)", [(2,), (1,)])
    assert database.execute("SELECT n FROM t").fetchall() == [(1,)]
    assert not database.in_transaction


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError) as caught:
        check(connection)
    assert fault_of(caught.value) is Fault.DAMAGED


def test_what_the_quick_check_finds_is_damage(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as connection:
        connection.executescript("CREATE TABLE t (n, m NOT NULL); INSERT INTO t VALUES (1, 2);")
        connection.executescript(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t (n NOT NULL, m NOT NULL, "
            "CHECK (n > 1))';"
        )
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection, pytest.raises(sqlite3.DatabaseError) as caught:
        check(connection)
    assert fault_of(caught.value) is Fault.DAMAGED


def test_a_lock_makes_the_file_unusable_for_now(database: sqlite3.Connection, tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None, timeout=0)) as other,
        transaction(database),
        pytest.raises(sqlite3.OperationalError) as caught,
        transaction(other),
    ):
        pass
    assert fault_of(caught.value) is Fault.UNUSABLE


@pytest.mark.parametrize("name", ["BUSY", "LOCKED", "PROTOCOL", "INTERRUPT", "NOMEM", "IOERR", "CANTOPEN", "READONLY"])
def test_what_may_succeed_later_is_no_error_of_the_statement(name: str) -> None:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}") | 1 << 8  # an extended code
    assert fault_of(error) is Fault.UNUSABLE


def test_a_wrong_statement_is_no_fault_of_the_file(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("SELECT nothing FROM nowhere")
    assert fault_of(caught.value) is None
    assert code_of(caught.value) == sqlite3.SQLITE_ERROR
    assert code_of(ValueError()) is None
    assert fault_of(None) is None


def test_what_lies_beside_a_database_goes_with_it(tmp_path: Path) -> None:
    for name in ("a.db", "a.db-wal", "a.db-shm"):
        (tmp_path / name).touch()
    rename(tmp_path / "a.db", tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "b.db-shm", "b.db-wal"]
    remove(tmp_path / "b.db")
    assert not list(tmp_path.iterdir())
