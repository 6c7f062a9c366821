"""Tables: which there are, in which versions, and how large they are.

Owns the register of schemas: a table is made in the telemetry store before its schema is registered, so that rows of
a registered schema always find their place. It never touches a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queries import TableInfo
from quarterdeck.model.stats import STATS_TABLE
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.clickhouse import TableSize, TelemetryStore

#: tables that every server has
BUILT_IN = (LOSSES_TABLE, MESSAGES_TABLE, STATS_TABLE)

TableInfos = list[TableInfo]


class Register(Protocol):
    """Where schemas are kept."""

    async def register_table(self, table: Table) -> None: ...

    async def table_by_fingerprint(self, fingerprint: str) -> Table | None: ...

    async def tables(self) -> Sequence[Table]: ...


class Tables:
    """The tables of the fleet, in their present and past versions."""

    def __init__(self, store: TelemetryStore, register: Register) -> None:
        self._store = store
        self._register = register
        self._changing = asyncio.Lock()
        self._present: dict[str, Table] = {}
        self._versions: dict[str, Table] = {}

    async def start(self) -> None:
        """Open every table that was registered, and those that every server has."""
        for table in (*await self._register.tables(), *BUILT_IN):
            await self.ensure(table)

    async def ensure(self, table: Table) -> None:
        """Make the table, or change it to this version: on return rows of it can be stored and queried.

        `BadManifest` when it cannot be stored. Rows of earlier versions stay readable.
        """
        async with self._changing:
            if self._present.get(table.name) == table:
                return
            await asyncio.to_thread(self._store.ensure, table)
            await self._register.register_table(table)
            self._present[table.name] = self._versions[table.fingerprint] = table

    async def version(self, fingerprint: str) -> Table | None:
        """The table of which a batch with this fingerprint has rows; None when there was never such a version."""
        found = self._versions.get(fingerprint)
        if found is None:
            found = await self._register.table_by_fingerprint(fingerprint)
            if found is not None:
                if found.name not in self._present:  # another server registered it
                    await self.ensure(found)
                self._versions[fingerprint] = found
        return found

    def retention_s(self, name: str) -> int:
        """How long rows of a table are kept; 0 is for ever."""
        return self._present[name].retention_s

    async def names(self) -> list[str]:
        """Every table that can be queried, also past ones that were put aside."""
        return await asyncio.to_thread(self._store.names)

    async def list(self) -> TableInfos:
        """Every table with its size and age."""
        sizes = await asyncio.to_thread(self._store.sizes)
        return [
            TableInfo(table=table, rows=size.rows, bytes=size.bytes, oldest=size.oldest, newest=size.newest)
            for name, table in sorted(self._present.items())
            for size in (sizes.get(name, TableSize()),)
        ]
