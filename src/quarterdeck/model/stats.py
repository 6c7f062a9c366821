"""Stats: what programs measure of themselves and say in statsd's words, and the table their aggregates go to.

A key belongs to whoever said it (`StatSource`): two processes of one domain and name share their keys, as the
requirement document wants it.
"""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.errors import BadConfig
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import Column, ColumnType, Table

#: what stands in a key for a domain or name that was not given
UNKNOWN = "unknown"
#: every interval is a batch
MIN_FLUSH_S = 0.1
_LAST_PORT = 65_535


class StatKind(StrEnum):
    """What a key is; it stays what its first sample said."""

    COUNTER = "counter"  #: `c`: summed
    GAUGE = "gauge"  #: `g`: the last value; `+n` and `-n` change it
    TIMER = "timer"  #: `ms`, `h`: how the values are spread
    SET = "set"  #: `s`: how many different ones there were
    LAST = "last"  #: `kv`: the last value


class StatSource(Struct, frozen=True, kw_only=True):
    """Who said it: a process, by its command, domain and name, or a listener of the agent."""

    cmd: str
    domain: str = ""
    name: str = ""

    def prefix(self, *, gid: int, nid: int) -> str:
        """What stands before the keys of this source on this node, with a dot at its end."""
        return f"{gid}.{nid}.{self.cmd}.{self.domain or UNKNOWN}.{self.name or UNKNOWN}."


class StatsConfig(Struct, frozen=True, kw_only=True):
    """The agent's statsd: what its processes print at level 10, and what applications on the node send."""

    statsd_udp: str = "127.0.0.1:8125"  #: where statsd packets are taken, host:port; "" takes none
    statsd_unix: str = ""  #: path of a Unix datagram socket that takes them too; "" makes none
    flush_s: float = 10.0  #: how many seconds one row of the table `stats` sums up, at least MIN_FLUSH_S

    def __post_init__(self) -> None:
        if not self.flush_s >= MIN_FLUSH_S:
            raise BadConfig(f"stats.flush_s: expected at least {MIN_FLUSH_S:g} (seconds), found {self.flush_s:g}.")
        host, _, port = self.statsd_udp.rpartition(":")
        if self.statsd_udp and not (host and port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
            raise BadConfig(f"stats.statsd_udp: expected host:port, found '{self.statsd_udp}'.")


STATS_TABLE = Table(
    name="stats",
    description="What programs measured of themselves (statsd), a row for each key and interval in which it was said",
    retention_s=30 * 86400,
    order=("nid", "key", "time"),
    columns=(
        Column(name="time", type=ColumnType.TIMESTAMP, description="the end of the interval"),
        Column(name="key", type=ColumnType.STRING, description="gid.nid.cmd.domain.name. and the name that was sent"),
        Column(
            name="kind",
            type=ColumnType.ENUM,
            description="what the key is",
            values={str(number): kind.value for number, kind in enumerate(StatKind)},
        ),
        Column(name="cmd", type=ColumnType.STRING, description="command of the process; `statsd` of a listener"),
        Column(name="domain", type=ColumnType.STRING, description="domain of the process; `node` of a listener"),
        Column(name="name", type=ColumnType.STRING, description="name of the process; `udp` or `unix` of a listener"),
        Column(
            name="tags", type=ColumnType.MAP, item=ColumnType.STRING, description="tags that were sent with the key"
        ),
        Column(name="interval", type=ColumnType.DURATION, unit="ns", description="how long the interval was"),
        Column(
            name="value",
            type=ColumnType.FLOAT64,
            description="sum of a counter, last of a gauge, mean of a timer, members of a set",
        ),
        Column(name="samples", type=ColumnType.UINT64, unit="samples", description="how many were received"),
        Column(name="count", type=ColumnType.FLOAT64, description="how many were made: each stands for 1 / its rate"),
        Column(
            name="rate", type=ColumnType.FLOAT64, unit="1/s", description="of a counter its sum, else count, a second"
        ),
        Column(name="sum", type=ColumnType.FLOAT64, description="of the values, each times 1 / its rate; 0 of a set"),
        Column(name="min", type=ColumnType.FLOAT64, description="smallest value"),
        Column(name="max", type=ColumnType.FLOAT64, description="largest value"),
        Column(name="mean", type=ColumnType.FLOAT64, description="sum / count"),
        Column(name="p50", type=ColumnType.FLOAT64, description="of a timer: median, to 1 %"),
        Column(name="p90", type=ColumnType.FLOAT64, description="of a timer: 90 % are not above it, to 1 %"),
        Column(name="p99", type=ColumnType.FLOAT64, description="of a timer: 99 % are not above it, to 1 %"),
        Column(name="last", type=ColumnType.FLOAT64, description="the value that came last"),
    ),
)
