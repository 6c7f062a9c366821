"""Statements with little overhead: compiled once, and on SQLite passed straight to the driver.

SQLite finds a row in a few microseconds; SQLAlchemy adds about a hundred, mostly to analyse the statement and its
columns again. On other databases, where the round trip takes longer, the statement runs through SQLAlchemy. Both return
the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Insert, Select, Update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from quarterdeck.store.state.sqlite import Connection, Cursor

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
_Process = Callable[[Any], Any] | None

#: how SQLAlchemy writes a parameter that holds a list
_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")


class _Bind(NamedTuple):
    name: str
    process: _Process
    default: Any
    many: bool  #: a list, of which each element is a parameter


class Direct:
    """A statement. An insert takes the names of its columns from the first parameters it is run with."""

    def __init__(self, statement: Select[*tuple[Any, ...]] | Insert | Update) -> None:
        self._statement = statement.inline() if isinstance(statement, Insert) else statement
        columns = list(statement.exported_columns)
        self._names = [str(column.key) for column in columns]
        self._types = [column.type for column in columns]
        self._sql = ""
        self._binds: tuple[_Bind, ...] = ()
        self._listed = False
        self._processes: tuple[tuple[int, Callable[[Any], Any]], ...] = ()

    async def find(self, connection: AsyncConnection, parameters: Parameters) -> Sequence[Row]:
        """Return the rows."""
        driver = self._driver(connection, parameters)
        if driver is None:
            return [tuple(row) for row in await connection.execute(self._statement, parameters)]
        sql, values = self._sql, self._values(parameters)
        if self._listed:
            sql = _LIST.sub(lambda found: ",".join("?" * len(parameters[found[1]])), sql)
        cursor = driver.cursor()
        await cursor.execute(sql, values)
        return self._rows(cursor)

    async def find_named(self, connection: AsyncConnection, parameters: Parameters) -> list[dict[str, Any]]:
        """Return the rows, by the names of the columns."""
        return [dict(zip(self._names, row, strict=True)) for row in await self.find(connection, parameters)]

    async def run(self, connection: AsyncConnection, every: Sequence[Parameters]) -> None:
        """Run the statement once with each of these parameters."""
        if not every:
            return
        driver = self._driver(connection, every[0])
        if driver is None:
            await connection.execute(self._statement, every)
        else:
            await driver.cursor().executemany(self._sql, [self._values(parameters) for parameters in every])

    def _driver(self, connection: AsyncConnection, parameters: Parameters) -> Connection | None:
        assert connection.sync_connection is not None
        driver = connection.sync_connection.connection.driver_connection
        if not isinstance(driver, Connection):
            return None
        if not self._sql:
            self._compile(connection.dialect, parameters)
        return driver

    def _compile(self, dialect: Dialect, parameters: Parameters) -> None:
        inserts = isinstance(self._statement, Insert)
        named: dict[str, Any] = {"column_keys": list(parameters)} if inserts else {}
        compiled = self._statement.compile(dialect=dialect, **named)
        assert isinstance(compiled, SQLCompiler)
        self._binds = tuple(
            _Bind(
                name,
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
                compiled.params[name],
                compiled.binds[name].expanding,
            )
            for name in compiled.positiontup or ()
        )
        self._listed = any(bind.many for bind in self._binds)
        processes = [
            (at, kind.dialect_impl(dialect).result_processor(dialect, None)) for at, kind in enumerate(self._types)
        ]
        self._processes = tuple((at, process) for at, process in processes if process is not None)
        self._sql = str(compiled)

    def _values(self, parameters: Parameters) -> list[Any]:
        values: list[Any] = []
        for name, process, default, many in self._binds:
            value = parameters.get(name, default)
            if many:
                values += value if process is None else map(process, value)
            else:
                values.append(value if process is None else process(value))
        return values

    def _rows(self, cursor: Cursor) -> Sequence[Row]:
        rows: list[Row] = cursor.rows
        if not self._processes:
            return rows
        return [self._processed(row) for row in rows]

    def _processed(self, row: Row) -> Row:
        fields = list(row)
        for at, process in self._processes:
            fields[at] = process(fields[at])
        return tuple(fields)
