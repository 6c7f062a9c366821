"""Tables: which exist, in which versions, and how large they are.

Owns the register of schemas: a table is created in the telemetry store before its schema is registered, so that rows of
a registered schema can always be stored. It never reads or writes a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queries import TableInfo
from quarterdeck.model.stats import STATS_TABLE
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.model.usage import USAGE_TABLES
from quarterdeck.store.telemetry.clickhouse import TableSize, TelemetryStore

#: tables that every server has
BUILT_IN = (LOSSES_TABLE, MESSAGES_TABLE, STATS_TABLE, *USAGE_TABLES)

TableInfos = list[TableInfo]


class Register(Protocol):
    """The store of schemas."""

    async def register_table(self, table: Table) -> None: ...

    async def table_by_fingerprint(self, fingerprint: str) -> Table | None: ...

    async def tables(self) -> Sequence[Table]: ...


class Tables:
    """The tables of the fleet, in their current and earlier versions."""

    def __init__(self, store: TelemetryStore, register: Register) -> None:
        self._store = store
        self._register = register
        self._changing = asyncio.Lock()
        self._present: dict[str, Table] = {}
        self.changes = 0  #: how often any table changed
        self._versions: dict[str, Table] = {}

    async def start(self) -> None:
        """Open every registered table, and those that every server has."""
        for table in (*await self._register.tables(), *BUILT_IN):
            await self.ensure(table)

    async def ensure(self, table: Table) -> None:
        """Create the table, or change it to this version: on return its rows can be stored and queried.

        Raise `BadManifest` when it cannot be stored. Rows of earlier versions stay readable.
        """
        async with self._changing:
            if self._present.get(table.name) == table:
                return
            await asyncio.to_thread(self._store.ensure, table)
            await self._register.register_table(table)
            self.changes += 1
            self._present[table.name] = self._versions[table.fingerprint] = table

    async def version(self, fingerprint: str) -> Table | None:
        """Return the version of a table with this fingerprint, or None when no version had it."""
        found = self._versions.get(fingerprint)
        if found is None:
            found = await self._register.table_by_fingerprint(fingerprint)
            if found is not None:
                if found.name not in self._present:  # another server registered it
                    await self.ensure(found)
                self._versions[fingerprint] = found
        return found

    def retention_s(self, name: str) -> int:
        """Return how long rows of a table are kept; 0 means without limit."""
        return self._present[name].retention_s

    def columns(self, name: str) -> Sequence[Column]:
        """Return the current columns of a table; none for one that was put aside."""
        return self._present[name].columns if name in self._present else ()

    def binary(self, names: Iterable[str]) -> frozenset[str]:
        """Return the columns of type `binary` of these tables."""
        tables = [self._present[name] for name in names if name in self._present]
        return frozenset(each.name for table in tables for each in table.columns if each.type is ColumnType.BINARY)

    async def names(self) -> list[str]:
        """Return the names of all tables that can be queried, including those that were put aside."""
        return await asyncio.to_thread(self._store.names)

    async def list(self) -> TableInfos:
        """Return every table with its size and age."""
        sizes = await asyncio.to_thread(self._store.sizes)
        return [
            TableInfo(table=table, rows=size.rows, bytes=size.bytes, oldest=size.oldest, newest=size.newest)
            for name, table in sorted(self._present.items())
            for size in (sizes.get(name, TableSize()),)
        ]
