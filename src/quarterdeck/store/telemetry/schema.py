"""The storage of a table: the engine's types, and the statements that create a table or change it to a newer version.

Columns come and go with module versions while their rows stay, so a change never drops anything:

    a new column          is added; old rows have its type's zero value
    a removed column      stays; new rows have its type's zero value
    a wider type          changes the column in place
    a narrower type       keeps the column: what is stored is wide enough
    any other type        renames the old column to `<name>__<old type>` and adds the new one
    the same, in the key  renames the whole table to `<table>__<n>` and creates a new one: a key cannot be changed

Going back to a version renames its columns back. Every table also has `_insert`, the insert that wrote the row, by
which inserts are recognised after a crash. It is computed from the ephemeral `_group`, so `SELECT *` leaves it out.
Its value is the time of the insert in nanoseconds, and tables are partitioned by its day: an insert is always one part
and so is atomic, and rows with wrong clocks cannot scatter over thousands of partitions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import NAME_PATTERN, SERVER_COLUMNS, Column, ColumnRole, ColumnType, Table

INSERT_COLUMN = "_insert"
GROUP_COLUMN = "_group"
TIME_COLUMN = "time"
RESERVED = frozenset({INSERT_COLUMN, GROUP_COLUMN, *(column.name for column in SERVER_COLUMNS)})
_DAY_NS = 86_400_000_000_000

_TYPES = {
    ColumnType.BOOL: "Bool",
    ColumnType.INT8: "Int8",
    ColumnType.INT16: "Int16",
    ColumnType.INT32: "Int32",
    ColumnType.INT64: "Int64",
    ColumnType.UINT8: "UInt8",
    ColumnType.UINT16: "UInt16",
    ColumnType.UINT32: "UInt32",
    ColumnType.UINT64: "UInt64",
    ColumnType.FLOAT32: "Float32",
    ColumnType.FLOAT64: "Float64",
    ColumnType.STRING: "String",
    ColumnType.BINARY: "String",
    ColumnType.TIMESTAMP: "DateTime64(9, 'UTC')",
    ColumnType.DURATION: "Int64",
    ColumnType.IPV4: "IPv4",
    ColumnType.IPV6: "IPv6",
    ColumnType.IP: "String",
    ColumnType.MAC: "String",
    ColumnType.ENUM: "LowCardinality(String)",
    ColumnType.JSON: "String",
}
#: T64 drops the bits that a block's numbers do not use: 12 % smaller than ZSTD alone on typical rows, and no slower
_NUMBER = re.compile(r"U?Int\d+")
_INTEGER = re.compile(r"(U?)Int(\d+)")
_FLOAT = re.compile(r"Float(\d+)")
_MANTISSA_BITS = {32: 24, 64: 53}


class StoredColumn(Struct, frozen=True, kw_only=True):
    """A column as the engine stores it."""

    type: str
    comment: str = ""
    key: bool = False  #: part of the order key


class StoredTable(Struct, frozen=True, kw_only=True):
    """A table as the engine stores it."""

    columns: dict[str, StoredColumn]
    definition: str  #: the engine's definition of engine, keys and TTL
    comment: str = ""


def check(table: Table) -> Table:
    """Return the table; raise `BadManifest` when it cannot be stored."""
    names = [column.name for column in table.columns]
    if not NAME_PATTERN.fullmatch(table.name):
        raise BadManifest(f"'{table.name}' cannot be a table: names match {NAME_PATTERN.pattern}.")
    taken = sorted(RESERVED.intersection(names))
    if taken:
        raise BadManifest(f"Table '{table.name}' has a column '{taken[0]}', which the server adds.", hint="Rename it.")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadManifest(f"Table '{table.name}' has two columns '{doubled[0]}'.")
    time = table.column(TIME_COLUMN)
    if time is None or time.type is not ColumnType.TIMESTAMP:
        raise BadManifest(f"Table '{table.name}' needs a column 'time' of type timestamp_ns.")
    for name in table.order:
        column = table.column(name)
        if (column is None and name not in RESERVED) or (column and column.type in (ColumnType.MAP, ColumnType.LIST)):
            raise BadManifest(f"Table '{table.name}' cannot be ordered by '{name}'.", hint="Name columns of one value.")
    return table


def quoted(name: str) -> str:
    """Return a name quoted for the engine."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """Return a text as a literal of the engine."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def store_type(column: Column) -> str:
    """Return the engine's type of a column."""
    if column.type is ColumnType.LIST:
        return f"Array({_item_type(column)})"
    if column.type is ColumnType.MAP:
        return f"Map(String, {_item_type(column)})"
    if column.type is ColumnType.STRING and column.role is ColumnRole.COMM:
        return "LowCardinality(String)"
    return _TYPES[column.type]


def all_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns of a stored row: those of the table, with those that the server adds after `time`."""
    first = [column for column in table.columns if column.name == TIME_COLUMN]
    return (*first, *SERVER_COLUMNS, *(column for column in table.columns if column.name != TIME_COLUMN))


def create_statement(table: Table) -> str:
    """Return the statement that creates the table, which must have passed `check`."""
    lines = [_definition(column) for column in all_columns(table)]
    lines += [
        f"{GROUP_COLUMN} UInt64 EPHEMERAL",
        f"{INSERT_COLUMN} UInt64 MATERIALIZED {GROUP_COLUMN} CODEC(ZSTD(1))",
    ]
    ttl = f"TTL {ttl_expression(table)}\n" if table.retention_s else ""
    return (
        f"CREATE TABLE {quoted(table.name)} (\n  " + ",\n  ".join(lines) + "\n)\nENGINE = MergeTree\n"
        # `ignore` is always 0: named in the key, the time has its minimum and maximum kept for each part
        f"PARTITION BY (intDiv({INSERT_COLUMN}, {_DAY_NS}), ignore({TIME_COLUMN}))\n"
        f"ORDER BY ({', '.join(map(quoted, _order(table)))})\n{ttl}"
        # an acknowledged row is on disk, not in the page cache
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = "
        f"{min(14_400, max(60, table.retention_s // 8))}\n"
        f"COMMENT {literal(table.description)}"
    )


def ttl_expression(table: Table) -> str:
    """Return when a row expires. In seconds, because nanoseconds overflow for times far in the future."""
    return f"toDateTime64({TIME_COLUMN}, 0) + toIntervalSecond({table.retention_s})"


def change_statements(table: Table, stored: StoredTable) -> list[str]:
    """Return the statements after which the stored table accepts rows of `table`, unless it `must_begin_anew`."""
    actions: list[str] = []
    for column in all_columns(table):
        name, wanted, there = quoted(column.name), store_type(column), stored.columns.get(column.name)
        if there is not None and not (widens(wanted, there.type) or widens(there.type, wanted)):
            actions.append(f"RENAME COLUMN {name} TO {quoted(f'{column.name}__{_suffix(there.type)}')}")
            earlier = next(iter(alternatives(column, stored.columns)), None)
            there = stored.columns[earlier] if earlier else None
            if earlier:
                actions.append(f"RENAME COLUMN {quoted(earlier)} TO {name}")
        if there is None:
            actions.append(f"ADD COLUMN {_definition(column)}")
        elif not widens(wanted, there.type):
            actions.append(f"MODIFY COLUMN {_definition(column)}")
        elif there.comment != _comment(column):
            actions.append(f"COMMENT COLUMN {name} {literal(_comment(column))}")
    return [f"ALTER TABLE {quoted(table.name)} {action}" for action in (*actions, *_table_changes(table, stored))]


def must_begin_anew(table: Table, stored: StoredTable) -> bool:
    """Return whether a column of the order key changes its type, so that a new table must be created."""
    for column in all_columns(table):
        there, wanted = stored.columns.get(column.name), store_type(column)
        if there is not None and there.key and not widens(wanted, there.type):
            return True
    return False


def alternatives(column: Column, columns: Mapping[str, StoredColumn]) -> Sequence[str]:
    """Return the columns that hold an earlier version's values of `column` and can hold its values now."""
    wanted = store_type(column)
    return [
        name
        for name, there in columns.items()
        if name == f"{column.name}__{_suffix(there.type)}" and widens(wanted, there.type)
    ]


def widens(narrow: str, wide: str) -> bool:
    """Return whether every value of the engine's type `narrow` is also one of `wide`."""
    if narrow == wide:
        return True
    for outer in ("LowCardinality", "Array", "Map"):
        if narrow.startswith(outer + "(") and wide.startswith(outer + "("):
            return widens(_inner(narrow), _inner(wide))
    if {narrow, wide} == {"String", "LowCardinality(String)"}:
        return True
    small, large, real = _INTEGER.fullmatch(narrow), _INTEGER.fullmatch(wide), _FLOAT.fullmatch(wide)
    if small and large:
        spare = int(large[2]) - int(small[2])
        return spare >= 0 if small[1] == large[1] else spare > 0 and bool(small[1])
    if small and real:
        return int(small[2]) < _MANTISSA_BITS[int(real[1])]
    return (narrow, wide) == ("Float32", "Float64")


def _table_changes(table: Table, stored: StoredTable) -> list[str]:
    changes: list[str] = []
    if not table.retention_s and " TTL " in stored.definition:
        changes.append("REMOVE TTL")
    if table.retention_s and f" TTL {ttl_expression(table)} " not in f"{stored.definition} ":
        changes.append(f"MODIFY TTL {ttl_expression(table)}")
    if table.description != stored.comment:
        changes.append(f"MODIFY COMMENT {literal(table.description)}")
    return changes


def _definition(column: Column) -> str:
    kind = store_type(column)
    codec = "Delta, ZSTD(1)" if kind.startswith("DateTime64") else "ZSTD(1)"
    if _NUMBER.fullmatch(kind):
        codec = "T64, ZSTD(1)"
    return f"{quoted(column.name)} {kind} COMMENT {literal(_comment(column))} CODEC({codec})"


def _comment(column: Column) -> str:
    return f"{column.description} [{column.unit}]".strip() if column.unit else column.description


def _item_type(column: Column) -> str:
    if column.item is None or column.item in (ColumnType.LIST, ColumnType.MAP):
        raise BadManifest(f"Column '{column.name}' is a {column.type}, which needs an `item` of one value.")
    return _TYPES[column.item]


def _order(table: Table) -> tuple[str, ...]:
    return table.order or ("nid", TIME_COLUMN)


def _inner(kind: str) -> str:
    return kind[kind.index("(") + 1 : -1].removeprefix("String, ")


def _suffix(kind: str) -> str:
    """Return a type as a suffix: Int64 → int64, LowCardinality(String) → string, Array(IPv4) → list_ipv4."""
    for outer, word in (("LowCardinality", ""), ("Array", "list_"), ("Map", "map_")):
        if kind.startswith(outer + "("):
            return word + _suffix(_inner(kind))
    return "timestamp" if kind.startswith("DateTime64") else kind.lower()
