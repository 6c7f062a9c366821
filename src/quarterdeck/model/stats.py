"""Stats: the statsd samples of programs, and the table that stores their aggregates.

A key belongs to its source (`StatSource`): two processes with the same domain and name share their keys, as the
requirement document demands.
"""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.durations import Seconds
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import Column, ColumnType, Table

#: stands in a key for a missing domain or name
UNKNOWN = "unknown"
#: the shortest `flush_s`; every interval makes a batch
MIN_FLUSH_S = 0.1
_LAST_PORT = 65_535


class StatKind(StrEnum):
    """The kind of a key. The first sample of a key determines it."""

    COUNTER = "counter"  #: `c`: summed
    GAUGE = "gauge"  #: `g`: the last value; `+n` and `-n` change it
    TIMER = "timer"  #: `ms`, `h`: the distribution of the values
    SET = "set"  #: `s`: the number of different values
    LAST = "last"  #: `kv`: the last value


class StatSource(Struct, frozen=True, kw_only=True):
    """The source of a sample: a process, by its command, domain and name, or a listener of the agent."""

    cmd: str
    domain: str = ""
    name: str = ""

    def prefix(self, *, gid: int, nid: int) -> str:
        """Return the prefix of this source's keys on this node, with a dot at its end."""
        return f"{gid}.{nid}.{self.cmd}.{self.domain or UNKNOWN}.{self.name or UNKNOWN}."


class StatsConfig(Struct, frozen=True, kw_only=True):
    """Settings of the agent's statsd, which takes messages of level 10 and the packets of applications on the node."""

    statsd_udp: str = "127.0.0.1:8125"  #: host:port that accepts statsd packets; "": none
    statsd_unix: str = ""  #: path of a Unix datagram socket that accepts them too; "": none
    flush_s: Seconds = 10.0  #: seconds that one row of the table `stats` covers, at least MIN_FLUSH_S

    def __post_init__(self) -> None:
        if not self.flush_s >= MIN_FLUSH_S:
            raise BadConfig(f"stats.flush_s: expected at least {MIN_FLUSH_S:g} (seconds), found {self.flush_s:g}.")
        host, _, port = self.statsd_udp.rpartition(":")
        if self.statsd_udp and not (host and port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
            raise BadConfig(f"stats.statsd_udp: expected host:port, found '{self.statsd_udp}'.")


STATS_TABLE = Table(
    name="stats",
    description="Aggregated statsd samples, a row for each key and interval in which it was sent",
    retention_s=30 * 86400,
    order=("nid", "key", "time"),
    columns=(
        Column(name="time", type=ColumnType.TIMESTAMP, description="the end of the interval"),
        Column(name="key", type=ColumnType.STRING, description="gid.nid.cmd.domain.name. and the name that was sent"),
        Column(
            name="kind",
            type=ColumnType.ENUM,
            description="kind of the key",
            values={str(number): kind.value for number, kind in enumerate(StatKind)},
        ),
        Column(name="cmd", type=ColumnType.STRING, description="command of the process; `statsd` of a listener"),
        Column(name="domain", type=ColumnType.STRING, description="domain of the process; `node` of a listener"),
        Column(name="name", type=ColumnType.STRING, description="name of the process; `udp` or `unix` of a listener"),
        Column(
            name="tags", type=ColumnType.MAP, item=ColumnType.STRING, description="tags that were sent with the key"
        ),
        Column(name="interval", type=ColumnType.DURATION, unit="ns", description="length of the interval"),
        Column(
            name="value",
            type=ColumnType.FLOAT64,
            description="sum of a counter, last value of a gauge, mean of a timer, members of a set",
        ),
        Column(name="samples", type=ColumnType.UINT64, unit="samples", description="number of samples received"),
        Column(
            name="count",
            type=ColumnType.FLOAT64,
            description="number of samples taken: each counts 1 / its rate",
        ),
        Column(
            name="rate",
            type=ColumnType.FLOAT64,
            unit="1/s",
            description="sum of a counter, else count, per second",
        ),
        Column(name="sum", type=ColumnType.FLOAT64, description="sum of values, each times 1 / its rate; 0 for a set"),
        Column(name="min", type=ColumnType.FLOAT64, description="smallest value"),
        Column(name="max", type=ColumnType.FLOAT64, description="largest value"),
        Column(name="mean", type=ColumnType.FLOAT64, description="sum / count"),
        Column(name="p50", type=ColumnType.FLOAT64, description="for a timer: median, to 1 %"),
        Column(name="p90", type=ColumnType.FLOAT64, description="for a timer: 90th percentile, to 1 %"),
        Column(name="p99", type=ColumnType.FLOAT64, description="for a timer: 99th percentile, to 1 %"),
        Column(name="last", type=ColumnType.FLOAT64, description="the last value received"),
    ),
)
