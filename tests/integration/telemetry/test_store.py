"""Tables and rows in the real engine, embedded and by URL: types, changes of version, retention, sizes."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pytest

from quarterdeck.columns.values import Values, strings
from quarterdeck.model.errors import BadQuery
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.telemetry.batches import decode
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.readers import Limits
from tests.telemetry import ALL_TYPES, EXECS, TIME, body_of, every_value, execs

LIMITS = Limits(rows=1_000_000, time_s=30, memory_bytes=500_000_000, answer_bytes=100_000_000)


def ask(store: TelemetryStore, sql: str) -> list[list[Any]]:
    return msgspec.json.decode(store.query(store.parse(sql), shape="JSONCompact", limits=LIMITS))["data"]


def put(store: TelemetryStore, table: Table, body: bytes, *, group: int | None = None) -> int:
    rows = decode(table, body)
    group = time.time_ns() if group is None else group
    ones = np.ones(rows.num_rows, np.uint32)
    store.insert(table, rows, gids=ones, nids=ones * 2, group=group)
    return group


def version(name: str, *, order: tuple[str, ...] = ("nid", "time"), **columns: ColumnType) -> Table:
    made = (Column(name=column, type=kind) for column, kind in columns.items())
    return Table(name=name, columns=(TIME, *made), order=order)


def numbers(table: Table, kind: str, *values: int) -> bytes:
    return body_of(table, {"x": np.array(values, kind)})


def test_every_type_comes_back_as_it_was(store: TelemetryStore) -> None:
    store.ensure(ALL_TYPES)
    put(store, ALL_TYPES, body_of(ALL_TYPES, every_value()))
    sql = "SELECT * EXCEPT (time, c_binary), hex(c_binary) AS c_binary FROM all_types ORDER BY c_int8"
    names = [column.name for column in ALL_TYPES.columns if column.name not in ("time", "c_binary")]
    zero, one = (dict(zip(["gid", "nid", *names, "c_binary"], row, strict=True)) for row in ask(store, sql))
    assert (zero["gid"], zero["nid"]) == (1, 2)
    assert [one[f"c_{sign}int{bits}"] for sign in ("", "u") for bits in (8, 16, 32, 64)] == [1] * 8
    assert (zero["c_bool"], one["c_bool"], one["c_float32"], one["c_float64"]) == (False, True, 1.5, 1.25)
    assert (one["c_string"], one["c_json"], one["c_binary"], one["c_duration_ns"]) == ("t1", '{"a":1}', "FF", 1)
    assert (one["c_ipv4"], one["c_ipv6"], one["c_mac"]) == ("127.0.0.1", "2001:db8::1", "0a:0b:0c:0d:0e:0f")
    assert (zero["c_enum"], one["c_enum"]) == ("ONE", "MINUS_TWO")
    assert (one["c_list"], one["c_names"], one["c_map"]) == ([1], ["t1"], {"t1": 1})


def test_an_unnamed_number_of_an_enum_is_stored_as_its_text(store: TelemetryStore) -> None:
    store.ensure(ALL_TYPES)
    put(store, ALL_TYPES, body_of(ALL_TYPES, every_value(3)))
    assert ask(store, "SELECT c_enum FROM all_types ORDER BY c_int8") == [["ONE"], ["MINUS_TWO"], ["9"]]


def test_units_and_descriptions_are_comments_and_select_star_shows_only_what_was_declared(
    embedded_store: TelemetryStore,
) -> None:
    embedded_store.ensure(EXECS)
    described = embedded_store._describe("execs")
    assert described is not None
    assert described.comment == "Programs that were started"
    assert {name: column.comment for name, column in described.columns.items()} == {
        "time": "",
        "gid": "grid id of the node",
        "nid": "node id in its grid",
        "pid": "its process id",
        "comm": "",
        "took": "until it ended [ns]",
    }
    put(embedded_store, EXECS, execs(1))
    assert len(ask(embedded_store, "SELECT * FROM execs")[0]) == len(described.columns)


def test_a_large_insert_is_one_part_so_it_happens_as_a_whole(embedded_store: TelemetryStore) -> None:
    embedded_store.ensure(EXECS)
    group = put(embedded_store, EXECS, execs(400_000))
    parts = embedded_store._rows("SELECT count() FROM system.parts WHERE database = {database:String} AND level = 0")
    assert parts == [[1]]
    assert embedded_store.holds("execs", group)
    assert not embedded_store.holds("execs", group + 1)
    assert not embedded_store.holds("no_such_table", group)


def test_groups_are_found_in_order(store: TelemetryStore) -> None:
    store.ensure(EXECS)
    assert store.last_group() == 0
    for group in (3000, 1000, 2000):
        put(store, EXECS, execs(1), group=group)
    assert (store.last_group(), store.last_group("execs")) == (3000, 3000)
    assert store.groups_after("execs", 1000) == [2000, 3000]


def test_sizes(store: TelemetryStore) -> None:
    store.ensure(EXECS)
    now = int(time.time())
    put(store, EXECS, execs(1000, time_ns=now * 10**9))
    size = store.sizes()["execs"]
    assert (size.rows, size.oldest, size.newest) == (1000, now, now)
    assert size.bytes > 0
    store.drop("execs")
    assert store.names() == []


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────
def with_retention(seconds: int) -> Table:
    return msgspec.structs.replace(EXECS, retention_s=seconds)


def count_after_merge(store: TelemetryStore) -> int:
    store._command("OPTIMIZE TABLE execs FINAL")
    return ask(store, "SELECT count() FROM execs")[0][0]


def test_rows_beyond_the_retention_go_and_wild_clocks_do_no_harm(store: TelemetryStore) -> None:
    store.ensure(with_retention(3600))
    put(store, EXECS, execs(10))
    put(store, EXECS, execs(20, time_ns=time.time_ns() - 3700 * 10**9))
    put(store, EXECS, execs(3, time_ns=0))
    put(store, EXECS, execs(1, time_ns=2**63 - 1))
    assert count_after_merge(store) == 11


def test_a_changed_retention_applies_to_rows_that_are_there(store: TelemetryStore) -> None:
    store.ensure(with_retention(0))
    put(store, EXECS, execs(20, time_ns=time.time_ns() - 100 * 10**9))
    assert count_after_merge(store) == 20
    store.ensure(with_retention(1000))
    assert count_after_merge(store) == 20
    store.ensure(with_retention(50))
    assert count_after_merge(store) == 0
    store.ensure(with_retention(0))
    put(store, EXECS, execs(1, time_ns=0))
    assert count_after_merge(store) == 1


def test_an_unchanged_table_is_not_altered(store: TelemetryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.ensure(EXECS)
    monkeypatch.setattr(store, "_command", pytest.fail)
    store.ensure(EXECS)


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_columns_come_and_go_and_old_rows_stay(store: TelemetryStore) -> None:
    first, second = version("v", x=ColumnType.UINT32), version("v", y=ColumnType.STRING)
    store.ensure(first)
    put(store, first, numbers(first, "u4", 5))
    store.ensure(second)
    put(store, second, body_of(second, {"y": strings(["new"])}))
    assert ask(store, "SELECT x, y FROM v ORDER BY x") == [[0, "new"], [5, ""]]


@pytest.mark.parametrize(
    ("old", "new"), [("uint8", "uint64"), ("int16", "int32"), ("uint32", "int64"), ("int32", "float64")]
)
def test_a_wider_type_changes_the_column_and_a_narrower_one_does_not(store: TelemetryStore, old: str, new: str) -> None:
    narrow, wide = version("v", x=ColumnType(old)), version("v", x=ColumnType(new))
    store.ensure(narrow)
    put(store, narrow, numbers(narrow, old, 5))
    store.ensure(wide)
    put(store, wide, numbers(wide, new, 70_000))
    put(store, narrow, numbers(narrow, old, 6))  # an agent that still runs the version before
    store.ensure(narrow)
    put(store, narrow, numbers(narrow, old, 7))
    assert ask(store, "SELECT x FROM v ORDER BY x") == [[5], [6], [7], [70_000]]


def test_another_type_keeps_the_old_column_under_its_type(store: TelemetryStore) -> None:
    number, text = version("v", x=ColumnType.UINT32), version("v", x=ColumnType.STRING)
    store.ensure(number)
    put(store, number, numbers(number, "u4", 5))
    store.ensure(text)
    put(store, text, body_of(text, {"x": strings(["five"])}))
    put(store, number, numbers(number, "u4", 6))  # an agent that still runs the version before
    assert ask(store, "SELECT x, x__uint32 FROM v ORDER BY x__uint32") == [["five", 0], ["", 5], ["", 6]]
    store.ensure(number)  # back again
    put(store, number, numbers(number, "u4", 7))
    assert ask(store, "SELECT x, x__string FROM v ORDER BY x") == [[0, "five"], [5, ""], [6, ""], [7, ""]]


def test_another_type_in_the_order_key_puts_the_table_aside(store: TelemetryStore) -> None:
    number = version("v", order=("x", "time"), x=ColumnType.UINT32)
    text = version("v", order=("x", "time"), x=ColumnType.STRING)
    for table, values in ((number, np.array([5], "u4")), (text, strings(["five"])), (number, np.array([6], "u4"))):
        store.ensure(table)
        put(store, table, body_of(table, {"x": values}))
    assert store.names() == ["v", "v__1", "v__2"]
    assert [ask(store, f"SELECT x FROM {name}") for name in store.names()] == [[[6]], [[5]], [["five"]]]


def test_a_batch_of_a_version_that_has_no_place_is_refused(store: TelemetryStore) -> None:
    store.ensure(version("v", x=ColumnType.UINT32))
    other = version("v", x=ColumnType.STRING)
    values: dict[str, Values] = {"x": strings(["five"])}
    with pytest.raises(BadQuery, match="no column for 'x' as string"):
        put(store, other, body_of(other, values))
