"""Tables: named schemas with a retention. All collected data is stored in tables.

The `type` of a column determines both its Arrow type on the link and its type in the store (ClickHouse). Every stored
row has `time`, `gid` and `nid`: the agent sends `time` (the time of the read if the record has none), and the server
adds `gid` and `nid` from the certificate.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated

import msgspec

from quarterdeck.model.struct import FEW, Name, Names, Pairs, Text, Wire


class ColumnType(StrEnum):
    """The types of columns. `Column.item` is the type of the items of `list` and `map`."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BINARY = "binary"
    TIMESTAMP = "timestamp_ns"  #: nanoseconds since the epoch, UTC
    DURATION = "duration_ns"
    IPV4 = "ipv4"  #: sent as uint32 in host order (127.0.0.1 = 0x7f000001)
    IPV6 = "ipv6"  #: sent as fixed binary of 16 bytes
    IP = "ip"  #: IPv4 or IPv6; sent as ipv6, IPv4 as ::ffff:a.b.c.d; stored as text, IPv4 as a.b.c.d
    MAC = "mac"  #: sent as uint64, the first octet highest
    ENUM = "enum"  #: sent as int32; stored as the names in `Column.values`
    JSON = "json"  #: sent as string
    LIST = "list"  #: list of `Column.item`
    MAP = "map"  #: string → `Column.item`; sent as a list of (key, value)


class ColumnRole(StrEnum):
    """The meaning of a column: which tags can be derived from it, or how its numbers are added up and drawn."""

    TIME = "time"
    PID = "pid"
    TID = "tid"
    UID = "uid"
    CGROUP = "cgroup"
    COMM = "comm"
    LOCAL_IP = "local_ip"
    LOCAL_PORT = "local_port"
    REMOTE_IP = "remote_ip"
    REMOTE_PORT = "remote_port"
    PROTOCOL = "protocol"
    INTERFACE = "interface"
    STACK = "stack"
    COUNTER = "counter"  #: an amount that came about in the row's interval or event: rows are added up
    GAUGE = "gauge"  #: a level at the time of the row: rows are averaged


class Column(Wire, frozen=True, kw_only=True):
    """One column of a table."""

    name: Name
    type: ColumnType
    unit: Text = ""
    description: Text = ""
    role: ColumnRole | None = None
    values: Pairs = {}  #: for an enum, also a 64-bit one, which is sent as a string: number in decimal → name
    item: ColumnType | None = None  #: for a list or map
    #: for a list that is a histogram, its bucket bounds: "log2" (slot i counts values in [2^i, 2^(i+1))) or "linear"
    histogram: Text = ""


class Table(Wire, frozen=True, kw_only=True):
    """A named Arrow schema with a retention and an order key."""

    name: Name
    columns: Annotated[tuple[Column, ...], FEW]
    retention_s: int = 7 * 86400  #: rows older than this are deleted; 0: never
    order: Names = ("nid", "time")
    description: Text = ""
    module: Name = ""  #: the module that fills it; "" for built-in tables

    def column(self, name: str) -> Column | None:
        """Return the column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that change exactly when the name, type or enum values of a column change."""
        shape = [(c.name, c.type, c.item, sorted(c.values.items())) for c in self.columns]
        return hashlib.sha256(msgspec.json.encode([self.name, shape])).hexdigest()[:16]


#: columns that the server adds to every table and an agent never sends
SERVER_COLUMNS = (
    Column(name="gid", type=ColumnType.UINT32, description="grid id of the node"),
    Column(name="nid", type=ColumnType.UINT32, description="node id in its grid"),
)

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,62}")
