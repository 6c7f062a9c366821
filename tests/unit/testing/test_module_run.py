"""The rows that a test of a module receives: values in readable form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np

from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Pairs, Values, Varying, strings
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.testing.module_run import readable

COLUMNS = (
    Column(name="time", type=ColumnType.TIMESTAMP),
    Column(name="took", type=ColumnType.DURATION),
    Column(name="state", type=ColumnType.ENUM, values={"1": "OPENED"}),
    Column(name="old", type=ColumnType.IPV4),
    Column(name="new", type=ColumnType.IPV6),
    Column(name="card", type=ColumnType.MAC),
    Column(name="name", type=ColumnType.STRING),
    Column(name="frames", type=ColumnType.LIST, item=ColumnType.STRING),
    Column(name="labels", type=ColumnType.MAP, item=ColumnType.UINT32),
)


def test_values_are_as_people_read_them() -> None:
    columns: dict[str, Values] = {
        "time": np.array([1_700_000_000_123_456_789, 2]),
        "took": np.array([5, 6]),
        "state": np.array([1, 9], np.int32),
        "old": np.array([0x7F000001, 0], np.uint32),
        "new": np.array([[0] * 15 + [1], [0] * 16], np.uint8),
        "card": np.array([0x0242AC110002, 0], np.uint64),
        "name": strings(["one", "two"]),
        "frames": Varying(np.array([0, 2, 2], np.int32), strings(["inner", "outer"])),
        "labels": Varying(np.array([0, 1, 1], np.int32), Pairs(strings(["a"]), np.array([7], np.uint32))),
    }
    table = Table(name="t", columns=COLUMNS)
    first, second = readable(table, encode(Batch(table, columns, 2)))
    assert first == {
        "time": 1_700_000_000_123_456_789,
        "took": 5,
        "state": "OPENED",
        "old": IPv4Address("127.0.0.1"),
        "new": IPv6Address("::1"),
        "card": "02:42:ac:11:00:02",
        "name": "one",
        "frames": ["inner", "outer"],
        "labels": {"a": 7},
    }
    assert (second["state"], second["frames"], second["labels"]) == (9, [], {})
