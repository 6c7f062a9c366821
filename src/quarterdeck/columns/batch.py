"""Rows of one table as columns, and the pile in which batches wait until they leave together.

It owns the pairing of a table with its values, and the check that they fit. It never changes a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quarterdeck.columns.values import Values, cut, join, size_bytes
from quarterdeck.model.tables import Table

#: A batch of fewer rows is put together with its neighbours: when it travels, each costs a kilobyte and 50 µs.
SMALL_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Batch:
    """`rows` rows of `table`; `columns` has the values of each of its columns, by name."""

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
        """Rows `start` to `stop`, as views."""
        columns = {name: cut(values, start, stop) for name, values in self.columns.items()}
        return Batch(self.table, columns, max(0, min(stop, self.rows) - start))

    @property
    def size_bytes(self) -> int:
        """Bytes the values take in memory."""
        return sum(size_bytes(values) for values in self.columns.values())


class Pile:
    """Batches of one table on top of each other until they are worth sending. For one thread at a time."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        self.size_bytes = 0
        self._batches: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Put `batch` on top; an empty one changes nothing."""
        if batch.rows:
            self._batches.append(batch)
            self.rows += batch.rows
            self.size_bytes += batch.size_bytes

    def take(self) -> list[Batch]:
        """All rows in the order they came; of the batches only the last may be small. The pile is empty afterwards."""
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
    """Batches of one table as one."""
    if len(batches) == 1:
        return batches[0]
    table = batches[0].table
    columns = {column.name: join([batch.columns[column.name] for batch in batches]) for column in table.columns}
    return Batch(table, columns, sum(batch.rows for batch in batches))
