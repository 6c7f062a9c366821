"""`client.tables`: tables and their new rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get
from quarterdeck.client.streams.tables import TailStream
from quarterdeck.model.queries import TableInfo, TailRows


class Tables(Namespace):
    """Tables and their new rows."""

    async def list(self) -> Sequence[TableInfo]:
        """Return every table with its size and age."""
        return await self._connection.send(get("/tables", list[TableInfo]))

    def tail(self, table: str, *, where: str = "") -> AsyncIterator[TailRows]:
        """Yield the rows of a table as they are stored, without end. A lost connection is resumed where it stopped."""
        return self._connection.follow(TailStream(table, where=where))
