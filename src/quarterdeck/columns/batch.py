"""Rows of one table as columns, and the pile that collects batches until they are sent together.

This module owns the pairing of a table with its values, and the check that they match. It never changes a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quarterdeck.columns.values import Values, cut, join, size_bytes
from quarterdeck.model.tables import Table

#: batches with fewer rows are joined with their neighbours: each batch that is sent costs a kilobyte and 50 µs
SMALL_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Batch:
    """A number of rows of one table. `columns` maps the name of each column to its values."""

    table: Table
    columns: Mapping[str, Values]
    rows: int

    def __post_init__(self) -> None:
        wanted = [column.name for column in self.table.columns]
        if sorted(self.columns) != sorted(wanted):
            raise ValueError(f"table {self.table.name} has the columns {wanted}, the batch {list(self.columns)}")
        for name, values in self.columns.items():
            if len(values) != self.rows:
                raise ValueError(f"column {name} of table {self.table.name} has {len(values)} of {self.rows} rows")

    def cut(self, start: int, stop: int) -> Batch:
        """Return the rows `start` to `stop` as views."""
        columns = {name: cut(values, start, stop) for name, values in self.columns.items()}
        return Batch(self.table, columns, max(0, min(stop, self.rows) - start))

    def pieces(self, limit_bytes: int) -> Iterator[Batch]:
        """Yield the rows in order as batches of at most `limit_bytes`, as views; a larger row is a batch of its own."""
        if self.rows <= 1 or self.size_bytes <= limit_bytes:
            yield self
            return
        for half in (self.cut(0, self.rows // 2), self.cut(self.rows // 2, self.rows)):
            yield from half.pieces(limit_bytes)

    @property
    def size_bytes(self) -> int:
        """Return the bytes that the values take in memory."""
        return sum(size_bytes(values) for values in self.columns.values())


class Pile:
    """Batches of one table, collected until they are sent. One thread may use it at a time."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        self.size_bytes = 0
        self._batches: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Add `batch`; an empty batch changes nothing."""
        if batch.rows:
            self._batches.append(batch)
            self.rows += batch.rows
            self.size_bytes += batch.size_bytes

    def take(self) -> list[Batch]:
        """Remove all rows and return them in the order they came; only the last of the batches may be small."""
        batches, self._batches, self.rows, self.size_bytes = self._batches, [], 0, 0
        groups: list[list[Batch]] = []
        rows = SMALL_ROWS
        for batch in batches:
            if rows >= SMALL_ROWS:
                groups.append([])
                rows = 0
            groups[-1].append(batch)
            rows += batch.rows
        return [_joined(group) for group in groups]


def _joined(batches: list[Batch]) -> Batch:
    """Return batches of one table as one batch."""
    if len(batches) == 1:
        return batches[0]
    table = batches[0].table
    columns = {column.name: join([batch.columns[column.name] for batch in batches]) for column in table.columns}
    return Batch(table, columns, sum(batch.rows for batch in batches))
