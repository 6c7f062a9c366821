"""Tables: a named schema with a retention. Everything collected ends in one.

How a column travels (Arrow) and how it is stored (ClickHouse) both follow from its `type`. Every stored row also
carries `time`, `gid`, `nid`: the agent sends `time` (the moment of reading where the record has none), the server adds
the rest from the certificate.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Wire


class ColumnType(StrEnum):
    """The column types of DESIGN §4. `list` and `map` name their parts in `Column.item`."""

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
    IPV4 = "ipv4"  #: travels as uint32 in host order (127.0.0.1 = 0x7f000001)
    IPV6 = "ipv6"  #: travels as fixed binary of 16 bytes
    MAC = "mac"  #: travels as uint64, the first octet highest
    ENUM = "enum"  #: travels as int32; `Column.values` names them; stored by name
    JSON = "json"  #: travels as string
    LIST = "list"  #: of `Column.item`
    MAP = "map"  #: string → `Column.item`; travels as a list of (key, value)


class ColumnRole(StrEnum):
    """What a column is to the tagger: what other columns can be derived from it."""

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


class Column(Wire, frozen=True, kw_only=True):
    """One column of a table."""

    name: str
    type: ColumnType
    unit: str = ""
    description: str = ""
    role: ColumnRole | None = None
    values: dict[str, str] = {}  #: of an enum: number in decimal → name
    item: ColumnType | None = None  #: of a list or map
    #: bucket bounds of a list that is a histogram: "log2" (slot i counts values in [2^i, 2^(i+1))) or "linear"
    histogram: str = ""


class Table(Wire, frozen=True, kw_only=True):
    """A named Arrow schema with a retention and an order key."""

    name: str
    columns: tuple[Column, ...]
    retention_s: int = 7 * 86400  #: rows older than this are deleted; 0 keeps them for ever
    order: tuple[str, ...] = ("nid", "time")
    description: str = ""
    module: str = ""  #: the module that fills it; "" for built-in tables

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change exactly when a column's name, type or enum values change."""
        shape = [(c.name, c.type, c.item, sorted(c.values.items())) for c in self.columns]
        return hashlib.sha256(msgspec.json.encode([self.name, shape])).hexdigest()[:16]


#: added by the server to every table, never sent by an agent
SERVER_COLUMNS = (
    Column(name="gid", type=ColumnType.UINT32, description="grid id of the node"),
    Column(name="nid", type=ColumnType.UINT32, description="node id in its grid"),
)

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def parse_duration(text: str) -> float:
    """Seconds in `text`, such as "250ms", "1.5s", "10m", "3d" or "1h30m"; `BadInput` on anything else."""
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise BadInput(f"'{text}' is not a duration.", hint="Write a number and a unit: 250ms, 10s, 5m, 12h, 3d, 1w.")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
