"""Damage of the store: rows that are on its disk and in none of its tables.

The engine detaches a damaged part when it starts, and ignores the rows of a table whose definition is missing; it
reports neither as an error. This module finds both; it reads a few small files and never changes any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import SERVER_COLUMNS, Table
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.schema import INSERT_COLUMN

_COLUMN = re.compile(r"^`([^`]+)` ", re.MULTILINE)
_COUNT = re.compile(r"[0-9]{1,18}")
_ADDED = frozenset({INSERT_COLUMN, *(column.name for column in SERVER_COLUMNS)})


class Damage(Struct, frozen=True, kw_only=True):
    """Rows that cannot be read."""

    table: str  #: "" where unknown
    rows: int  #: as far as they can still be counted
    path: str  #: where the files are; "" when they are missing
    what: str  #: description


def find_damage(store: TelemetryStore, registered: Sequence[Table]) -> list[Damage]:
    """Return the damage. Must run before the tables that were `registered` are created again."""
    missing = [table for table in registered if table.name not in set(store.names())]
    found = [*_put_aside(store), *_without_table(store, registered, missing)]
    placed = {damage.table for damage in found}
    return found + [
        Damage(table=table.name, rows=0, path="", what="the table was missing from the store and is created again")
        for table in missing
        if table.name not in placed
    ]


def _put_aside(store: TelemetryStore) -> Iterator[Damage]:
    for table, name, reason, path in store.detached_parts():
        yield Damage(
            table=table, rows=_rows([Path(path)]), path=path, what=f"a part was put aside as damaged ({reason}: {name})"
        )


def _without_table(store: TelemetryStore, registered: Sequence[Table], missing: Sequence[Table]) -> Iterator[Damage]:
    """Yield the folders with a table's rows that belong to no table."""
    if store.folder is None:
        return
    owned = {Path(path).name for path in store.data_paths()}
    for mark in sorted(store.folder.glob("store/*/*/format_version.txt")):
        folder = mark.parent
        parts = [part for part in folder.iterdir() if (part / "columns.txt").is_file()]
        if folder.name not in owned and parts:
            table = _whose(parts, missing) or _whose(parts, registered)  # registered: once it was created again
            yield Damage(table=table, rows=_rows(parts), path=str(folder), what="a table's definition is gone")


def _whose(parts: Iterable[Path], tables: Sequence[Table]) -> str:
    """Return the name of the table that has these columns."""
    for part in parts:
        names = set(_COLUMN.findall(_text(part / "columns.txt"))) - _ADDED
        fitting = [table.name for table in tables if names == {column.name for column in table.columns}]
        if len(fitting) == 1:
            return fitting[0]
    return ""


def _rows(parts: Iterable[Path]) -> int:
    counts = (_text(part / "count.txt") for part in parts)
    return sum(int(count) for count in counts if _COUNT.fullmatch(count))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:65_536]
    except OSError:  # the file is damaged, or on another host
        return ""
