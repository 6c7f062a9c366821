"""Statements for tables: their text, and the effect of a change of version."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.telemetry.schema import (
    StoredColumn,
    StoredTable,
    change_statements,
    check,
    create_statement,
    must_begin_anew,
    widens,
)
from tests.telemetry import EXECS, TIME


def table(*columns: Column, name: str = "t", order: tuple[str, ...] = ("nid", "time"), retention_s: int = 60) -> Table:
    return Table(name=name, columns=(TIME, *columns), order=order, retention_s=retention_s)


def x(kind: ColumnType, description: str = "") -> Column:
    return Column(name="x", type=kind, description=description)


def stored(kind: str, *, key: bool = False, **more: str) -> StoredTable:
    columns = {
        "time": StoredColumn(type="DateTime64(9, 'UTC')", key=True),
        "gid": StoredColumn(type="UInt32", comment="grid id of the node"),
        "nid": StoredColumn(type="UInt32", comment="node id in its grid", key=True),
        "x": StoredColumn(type=kind, key=key),
        **{name: StoredColumn(type=other) for name, other in more.items()},
    }
    return StoredTable(
        columns=columns, definition="MergeTree TTL toDateTime64(time, 0) + toIntervalSecond(60) SETTINGS a = 1"
    )


def test_a_table_is_made_with_what_its_columns_say() -> None:
    statement = create_statement(check(EXECS))
    assert "`comm` LowCardinality(String)" in statement
    assert "`took` Int64 COMMENT 'until it ended [ns]' CODEC(T64, ZSTD(1))" in statement
    assert "ORDER BY (`nid`, `time`)" in statement
    assert "TTL toDateTime64(time, 0) + toIntervalSecond(604800)" in statement
    assert "COMMENT 'Programs that were started'" in statement
    assert "TTL" not in create_statement(table(retention_s=0))
    assert "ORDER BY (`nid`, `table`, `time`)" in create_statement(check(LOSSES_TABLE))


def test_names_and_descriptions_cannot_leave_their_quotes() -> None:
    odd = Column(name="a`b", type=ColumnType.INT8, description="it's `x` \\")
    assert "`a\\`b` Int8 COMMENT 'it\\'s `x` \\\\'" in create_statement(table(odd))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (table(name="No Table"), "cannot be a table"),
        (table(Column(name="gid", type=ColumnType.INT8)), "'gid', which the server adds"),
        (table(Column(name="_insert", type=ColumnType.INT8)), "'_insert', which the server adds"),
        (table(x(ColumnType.INT8), x(ColumnType.INT16)), "two columns 'x'"),
        (table(order=("nope",)), "cannot be ordered by 'nope'"),
        (table(Column(name="x", type=ColumnType.MAP, item=ColumnType.INT8), order=("x",)), "cannot be ordered by 'x'"),
        (Table(name="t", columns=(x(ColumnType.INT8),)), "needs a column 'time'"),
    ],
)
def test_what_cannot_be_stored_is_said(bad: Table, why: str) -> None:
    with pytest.raises(BadManifest, match=why):
        check(bad)


def test_a_list_needs_an_item_of_one_value() -> None:
    with pytest.raises(BadManifest, match="needs an `item`"):
        create_statement(table(x(ColumnType.LIST)))


@pytest.mark.parametrize(
    ("narrow", "wide", "holds"),
    [
        ("Int8", "Int64", True),
        ("Int64", "Int8", False),
        ("UInt8", "Int16", True),
        ("UInt8", "Int8", False),
        ("Int8", "UInt64", False),
        ("UInt32", "Float64", True),
        ("UInt32", "Float32", False),
        ("Int64", "Float64", False),
        ("Float32", "Float64", True),
        ("Float64", "Float32", False),
        ("String", "LowCardinality(String)", True),
        ("LowCardinality(String)", "String", True),
        ("Array(Int8)", "Array(Int16)", True),
        ("Array(Int8)", "Int16", False),
        ("Map(String, UInt8)", "Map(String, UInt64)", True),
        ("IPv4", "IPv6", False),
        ("DateTime64(9, 'UTC')", "Int64", False),
    ],
)
def test_which_types_hold_which(narrow: str, wide: str, holds: bool) -> None:
    assert widens(narrow, wide) is holds


@pytest.mark.parametrize(
    ("there", "wanted", "actions"),
    [
        (stored("Int32"), x(ColumnType.INT32), []),
        (stored("Int64"), x(ColumnType.INT32), []),
        (stored("Int32"), x(ColumnType.INT32, "now described"), ["COMMENT COLUMN `x` 'now described'"]),
        (stored("Int8"), x(ColumnType.INT64), ["MODIFY COLUMN `x` Int64 COMMENT '' CODEC(T64, ZSTD(1))"]),
        (
            stored("Int64"),
            x(ColumnType.STRING),
            ["RENAME COLUMN `x` TO `x__int64`", "ADD COLUMN `x` String COMMENT '' CODEC(ZSTD(1))"],
        ),
        (
            stored("String", x__int64="Int64"),
            x(ColumnType.INT32),
            ["RENAME COLUMN `x` TO `x__string`", "RENAME COLUMN `x__int64` TO `x`"],
        ),
        (
            stored("Array(IPv4)"),
            x(ColumnType.IPV4),
            ["RENAME COLUMN `x` TO `x__list_ipv4`", "ADD COLUMN `x` IPv4 COMMENT '' CODEC(ZSTD(1))"],
        ),
    ],
)
def test_a_change_of_version_drops_nothing(there: StoredTable, wanted: Column, actions: list[str]) -> None:
    assert change_statements(table(wanted), there) == [f"ALTER TABLE `t` {action}" for action in actions]


def test_a_changed_retention_and_description() -> None:
    there = stored("Int32")
    kept = x(ColumnType.INT32)
    assert change_statements(table(kept, retention_s=0), there) == ["ALTER TABLE `t` REMOVE TTL"]
    assert change_statements(table(kept, retention_s=600), there) == [
        "ALTER TABLE `t` MODIFY TTL toDateTime64(time, 0) + toIntervalSecond(600)"
    ]


def test_only_a_key_that_does_not_hold_its_new_type_begins_a_table_anew() -> None:
    assert must_begin_anew(table(x(ColumnType.INT64)), stored("Int32", key=True))
    assert must_begin_anew(table(x(ColumnType.STRING)), stored("Int32", key=True))
    assert not must_begin_anew(table(x(ColumnType.INT8)), stored("Int32", key=True))
    assert not must_begin_anew(table(x(ColumnType.STRING)), stored("Int32"))
