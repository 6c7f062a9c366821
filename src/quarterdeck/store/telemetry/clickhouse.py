"""The telemetry store: one port over the ClickHouse dialect, embedded or on a server, with the same statements.

Owns the connections, the tables as they are on disk, and the inserts. When `insert` returns, its rows are on disk, and
an insert is stored as a whole or not at all. It never decides what is inserted or acknowledged. Every function blocks:
callers run them in threads. The embedded engine allows one path per process and one process per path, and the process
must not fork once the engine is open.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from clickhouse_connect.driver.exceptions import Error as DriverError
from msgspec.structs import replace
from numpy.typing import NDArray

from quarterdeck.model.errors import BadConfig, BadQuery, StorageFull, TooLarge, Unavailable
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.batches import Rows
from quarterdeck.store.telemetry.enum_scopes import Columns, name_query_numbers
from quarterdeck.store.telemetry.enums import Enums, name_numbers
from quarterdeck.store.telemetry.faults import as_insert_fault, as_query_fault, as_store_fault
from quarterdeck.store.telemetry.functions import Function, refused
from quarterdeck.store.telemetry.grammar import ONLY_SELECT, Grammar, Statement, nodes
from quarterdeck.store.telemetry.readers import MARK, Cancellation, Limits, Readers
from quarterdeck.store.telemetry.rows import as_stored, tagged
from quarterdeck.store.telemetry.schema import (
    StoredColumn,
    StoredTable,
    alternatives,
    change_statements,
    check,
    create_statement,
    must_begin_anew,
    quoted,
    store_type,
    widens,
)
from quarterdeck.store.telemetry.sessions import DATABASE, Connect, Session, embedded, remote

#: the first with `parseQueryToJSON`, by which queries are kept read-only
MINIMUM_VERSION = "26.8"
_PARSE = Limits(rows=1, time_s=10, memory_bytes=256 * 1024 * 1024, answer_bytes=64 * 1024 * 1024)
_FIND_DATABASE = "SELECT 1 FROM system.databases WHERE name = {name:String}"
#: for internal queries
_BOOKS = Limits(rows=1_000_000, time_s=60, memory_bytes=256 * 1024 * 1024, answer_bytes=64 * 1024 * 1024)
_FUNCTIONS = (
    "SELECT name, alias_to, categories, is_aggregate = 1, origin = 'System',"
    " NOT is_aggregate AND ifNull(higher_order, 1) FROM system.functions"
)
_NOT_AS_TREE = 36  # BAD_ARGUMENTS: the parser has no tree for this kind of statement
#: space left free on the store's disk. On a full disk the engine silently replaces a table's definition by an empty
#: file, and does not start again; so writes are refused before that.
_KEEP_FREE_BYTES = 16 * 1024 * 1024
#: one insert is one part: happening as a whole or not at all
_WHOLE_INSERT = {
    "min_free_disk_bytes_to_perform_insert": _KEEP_FREE_BYTES,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 8_000_000_000,
    "async_insert": 0,
}


class TableSize(Struct, frozen=True, kw_only=True):
    """The size of a table, and the time of its oldest rows (seconds since the epoch)."""

    rows: int = 0
    bytes: int = 0
    oldest: float | None = None
    newest: float | None = None


def open_store(*, url: str = "", path: Path, memory_bytes: int = 1_000_000_000) -> TelemetryStore:
    """Open the store at `url` ("http://user:password@host:8123/database"), or an embedded one below `path`."""
    if not url:
        return TelemetryStore(embedded(path, memory_bytes), database=DATABASE, kind="chdb", folder=path)
    connect, database = remote(url)
    return TelemetryStore(connect, database=database, kind="clickhouse")


class TelemetryStore:
    """The tables, by name. Every method blocks, and may be called from any thread."""

    def __init__(self, connect: Connect, *, database: str, kind: str, folder: Path | None = None) -> None:
        self.kind = kind  #: "chdb" or "clickhouse"
        self.folder = folder  #: the folder of its files, if it is embedded
        self.shared = kind == "clickhouse"  #: whether other programs may write to it
        self.database = database
        try:
            self._control = connect({})
            self._inserts = connect({})
            _check_version(self._control)
            if not self._control.raw_query(_FIND_DATABASE, parameters={"name": database}, fmt="TSV"):
                self._define(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
        except DriverError as error:
            raise as_store_fault(error) from error
        self._control.database = self._inserts.database = database
        self._readers = Readers(lambda settings: _using(connect(settings), database))
        self._lock = threading.Lock()  # one table changes at a time
        self._stored: dict[str, StoredTable] = {}
        self._grammar = self._learn_grammar()

    # ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────
    def ensure(self, table: Table) -> None:
        """Create the table, or change it so that it accepts rows of this version. Rows stay (see `schema`)."""
        check(table)
        with self._lock:
            stored = self._describe(table.name)
            if stored is not None and must_begin_anew(table, stored):
                self._put_aside(table.name)
                stored = None
            if stored is None:
                self._define(create_statement(table))
            for statement in change_statements(table, stored) if stored is not None else ():
                self._define(statement)
            self._stored[table.name] = cast("StoredTable", self._describe(table.name))

    def drop(self, name: str) -> None:
        """Delete a table and its rows."""
        with self._lock:
            self._stored.pop(name, None)
            self._command(f"DROP TABLE IF EXISTS {quoted(name)} SYNC")

    def names(self) -> list[str]:
        """Return the names of all tables, including renamed ones of earlier versions."""
        return [name for (name,) in self._rows("SELECT name FROM system.tables WHERE database = {database:String}")]

    def sizes(self) -> dict[str, TableSize]:
        """Return rows, bytes on disk and ages of every table that has any, from the engine's system tables."""
        found = self._rows(
            "SELECT table, sum(rows), sum(bytes_on_disk),"
            " toUnixTimestamp(min(min_time)), toUnixTimestamp(max(max_time))"
            " FROM system.parts WHERE active AND database = {database:String} GROUP BY table"
        )
        return {
            name: TableSize(rows=rows, bytes=size, oldest=float(oldest), newest=float(newest))
            for name, rows, size, oldest, newest in found
        }

    def detached_parts(self) -> list[tuple[str, str, str, str]]:
        """Return the parts that the engine has detached: table, name, reason, and path."""
        sql = "SELECT table, name, reason, path FROM system.detached_parts WHERE database = {database:String}"
        return [(table, name, reason, path) for table, name, reason, path in self._rows(sql) if reason]

    def data_paths(self) -> list[str]:
        """Return the folders of all tables."""
        found = self._rows("SELECT arrayJoin(data_paths) FROM system.tables WHERE notEmpty(data_paths)")
        return [path for (path,) in found]

    # ── rows in ──────────────────────────────────────────────────────────────────────────────────────────────────
    def insert(
        self, table: Table, rows: Rows, *, gids: NDArray[np.uint32], nids: NDArray[np.uint32], group: int
    ) -> None:
        """Store rows of this version of the table, all of them or none. On return they are on disk.

        After any error but `BadQuery` (the engine will never accept these rows) and `TooLarge` (it lacks memory for so
        many at once) it is unknown whether they are stored; `holds` returns it.
        """
        places = self._places(table)
        try:
            block = tagged(as_stored(table, rows, places), gids=gids, nids=nids, group=group)
        except MemoryError as error:
            raise TooLarge("There is no memory to prepare so many rows at a time.") from error
        except Exception as error:  # the error can only come from the rows
            raise BadQuery(f"Rows of table '{table.name}' cannot be stored: {error!r:.500}.") from error
        try:
            transport = {"query_id": _query_id(group)}
            self._inserts.insert_arrow(table.name, block, settings=_WHOLE_INSERT, transport_settings=transport)
        except (DriverError, OSError) as error:
            raise as_insert_fault(error) from error

    def holds(self, name: str, group: int) -> bool:
        """Return whether the insert `group` has happened. One that may still be running is stopped first."""
        self._command(f"KILL QUERY WHERE query_id = '{_query_id(group)}' SYNC")
        if name not in self.names():
            return False
        sql = "SELECT 1 FROM {name:Identifier} WHERE _insert = {group:UInt64} LIMIT 1"
        return bool(self._rows(sql, name=name, group=group))

    def last_group(self, *names: str) -> int:
        """Return the largest group of any row of these tables, of all tables when none is named; 0 without rows."""
        groups = [0]
        for name in names or self.names():
            groups += [group for (group,) in self._rows("SELECT max(_insert) FROM {name:Identifier}", name=name)]
        return max(groups)

    def groups_after(self, name: str, group: int) -> list[int]:
        """Return the groups of a table after this one, in order."""
        sql = "SELECT DISTINCT _insert FROM {name:Identifier} WHERE _insert > {group:UInt64} ORDER BY _insert"
        return [found for (found,) in self._rows(sql, name=name, group=group)]

    # ── rows out ─────────────────────────────────────────────────────────────────────────────────────────────────
    def parse(self, sql: str, columns: Columns = lambda _: None) -> Statement:
        """Return what a query reads; raise `BadQuery` when it is wrong or not read-only.

        Where `columns` returns the enums of its tables, numbers that they are compared with become names.
        """
        tree, text = self._parse(sql)
        statement = self._grammar.statement(tree, text)
        return replace(statement, sql=self._written(tree)) if name_query_numbers(tree, columns) else statement

    def condition(self, where: str, known: Enums) -> str:
        """Return one condition, written from its syntax tree, so that it cannot be anything else; or raise `BadQuery`.

        Enum columns may be compared with the names or with the numbers of their values.
        """
        tree, text = self._parse(f"SELECT (\n{where}\n)")
        self._grammar.expression(tree)
        if name_numbers(nodes(tree), known):
            text = self._written(tree)
        return "(" + text.removeprefix("SELECT").strip() + ")"

    def query(
        self,
        statement: Statement,
        *,
        shape: str,
        limits: Limits,
        parameters: dict[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> bytes:
        """Return the answer to a parsed statement in one of the engine's formats, within the limits."""
        try:
            with self._readers.lend(limits) as reader, (cancellation or Cancellation()).running(reader.mark):
                return reader.session.raw_query(statement.sql, parameters=parameters or None, fmt=shape)
        except DriverError as error:
            raise as_query_fault(error) from error

    def cancel(self, cancellation: Cancellation) -> None:
        """Stop the query, whether it waits or runs."""
        mark = cancellation.want()
        if mark:
            self._command(f"KILL QUERY WHERE Settings['{MARK}'] = '{mark}' ASYNC")

    def interrupt(self) -> None:
        """Stop the queries that run in an embedded store; those on a server may belong to others."""
        if not self.shared:
            self._command(f"KILL QUERY WHERE NOT startsWith(query_id, '{_query_id('')}') ASYNC")

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def healthy(self) -> bool:
        """Return whether the store answers."""
        return self._control.ping()

    def close(self) -> None:
        """Close the engine; the path of an embedded one is free for another process afterwards."""
        self._readers.close()
        self._inserts.close()
        self._control.close()

    def _parse(self, sql: str) -> tuple[dict[str, Any], str]:
        if not sql.strip():
            raise BadQuery("The query is empty.")
        try:
            with self._readers.lend(_PARSE) as reader:
                answer = reader.session.raw_query(
                    "SELECT parseQueryToJSON({sql:String}), formatQuery({sql:String})",
                    parameters={"sql": sql},
                    fmt="JSONCompact",
                )
        except DriverError as error:
            if error.code == _NOT_AS_TREE:
                raise BadQuery(ONLY_SELECT) from error
            raise as_query_fault(error) from error
        ((tree, text),) = msgspec.json.decode(answer)["data"]
        return msgspec.json.decode(tree), text

    def _written(self, tree: dict[str, Any]) -> str:
        """Return the text of a syntax tree."""
        with self._readers.lend(_PARSE) as reader:
            answer = reader.session.raw_query(
                "SELECT formatQueryFromJSON({tree:String})",
                parameters={"tree": msgspec.json.encode(tree).decode()},
                fmt="JSONCompact",
            )
        ((text,),) = msgspec.json.decode(answer)["data"]
        return text

    def _places(self, table: Table) -> dict[str, str]:
        """Return the names that the columns of this version of a table have in the store now; mostly the same."""
        stored = self._stored.get(table.name)
        if stored is None:
            raise Unavailable(f"Table '{table.name}' is not open.")
        places: dict[str, str] = {}
        for column in table.columns:
            there = stored.columns.get(column.name)
            if there is None or not widens(store_type(column), there.type):
                others = alternatives(column, stored.columns)
                if not others:
                    raise BadQuery(f"Table '{table.name}' has no column for '{column.name}' as {column.type}.")
                places[column.name] = others[0]
        return places

    def _describe(self, name: str) -> StoredTable | None:
        found = self._rows(
            "SELECT engine_full, comment FROM system.tables"
            " WHERE database = {database:String} AND name = {name:String}",
            name=name,
        )
        if not found:
            return None
        columns = self._rows(
            "SELECT name, type, comment, is_in_sorting_key FROM system.columns WHERE database = {database:String}"
            " AND table = {name:String} AND default_kind = '' ORDER BY position",
            name=name,
        )
        return StoredTable(
            columns={
                column: StoredColumn(type=kind, comment=comment, key=bool(key))
                for column, kind, comment, key in columns
            },
            definition=found[0][0],
            comment=found[0][1],
        )

    def _put_aside(self, name: str) -> None:
        taken = set(self.names())
        number = next(number for number in range(1, len(taken) + 2) if f"{name}__{number}" not in taken)
        self._define(f"RENAME TABLE {quoted(name)} TO {quoted(f'{name}__{number}')}")

    def _learn_grammar(self) -> Grammar:
        foreign = [name for (name,) in self._rows("SELECT name FROM system.databases") if name != self.database]
        functions = [Function(*row) for row in self._rows(_FUNCTIONS)]
        elsewhere = [name for (name,) in self._rows("SELECT name FROM system.table_functions")]
        return Grammar(
            database=self.database,
            foreign=foreign,
            refused=refused(functions, elsewhere),
            higher_order=[function.name for function in functions if function.higher_order],
        )

    def _define(self, statement: str) -> None:
        """Create, change or drop a table, if the disk has space for the definition."""
        try:
            free = int(self._control.raw_query("SELECT free_space FROM system.disks WHERE name = 'default'", fmt="TSV"))
        except DriverError as error:
            raise as_store_fault(error) from error
        if free < _KEEP_FREE_BYTES:
            raise StorageFull(
                f"The disk under the telemetry store has {free >> 20} MiB free, and tables are made or changed only"
                f" while there are {_KEEP_FREE_BYTES >> 20}.",
                hint="Free space and try again.",
            )
        self._command(statement)

    def _command(self, statement: str) -> None:
        try:
            self._control.command(statement)
        except DriverError as error:
            raise as_store_fault(error) from error

    def _rows(self, sql: str, **parameters: str | int) -> list[list[Any]]:
        bound = {"database": self.database, **parameters} if "{" in sql else None
        try:
            with self._readers.lend(_BOOKS) as reader:
                answer = reader.session.raw_query(sql, parameters=bound, fmt="JSONCompactEachRow")
        except DriverError as error:
            raise as_store_fault(error) from error
        return [msgspec.json.decode(line) for line in answer.splitlines()]


def _check_version(session: Session) -> None:
    if not session.min_version(MINIMUM_VERSION):
        raise BadConfig(
            f"Expected a ClickHouse server of version {MINIMUM_VERSION} or later, found {session.server_version}.",
            hint="Upgrade it, or leave telemetry_url empty for the embedded store.",
        )


def _using(session: Session, database: str) -> Session:
    session.database = database
    return session


def _query_id(group: int | str) -> str:
    return f"quarterdeck-insert-{group}"
