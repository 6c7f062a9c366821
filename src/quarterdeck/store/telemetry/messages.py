"""Reads forwarded messages from the table `messages`, with the same filters as nodes.

Owns the SQL and the conversion of a row to a message. Rows are read in the order of their time, node and id, one page
at a time; bytes that were not UTF-8 are lost in a row. It blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from quarterdeck.model.messages import MESSAGES_TABLE, Levels, MessageFilter, NodeMessage
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.readers import Limits
from quarterdeck.store.telemetry.schema import quoted

_LIMITS = Limits(rows=100_000, time_s=30, memory_bytes=200_000_000, answer_bytes=50_000_000)
_MILLISECONDS = "toUnixTimestamp64Milli(time)"
#: times the engine's type can hold, in milliseconds; 64 bits of nanoseconds
_FIRST_MS, _LAST_MS = 0, 9_200_000_000_000


class RowPlace(NamedTuple):
    """The place of a row in the order."""

    epoch: int
    gid: int
    nid: int
    id: int


def place_of(message: NodeMessage) -> RowPlace:
    """Return the message's place among the rows, which also identifies it."""
    return RowPlace(message.epoch, message.gid, message.nid, message.id)


class _Row(msgspec.Struct, array_like=True):
    epoch: int
    gid: int
    nid: int
    id: int
    job_id: str
    domain: str
    name: str
    level: int
    marks: int
    data: str


class _Rows(msgspec.Struct):
    data: list[_Row]


def find_messages(
    store: TelemetryStore,
    wanted: MessageFilter,
    *,
    nodes: Iterable[tuple[int, int]] | None,
    after: RowPlace | None,
    limit: int,
) -> Sequence[NodeMessage]:
    """Return the next `limit` matching rows after `after`, of these nodes, or of all when none is named."""
    where, parameters = _conditions(wanted)
    if nodes is not None:
        named = sorted(set(nodes))
        where += ["has({nids:Array(UInt32)}, nid)", "has({nodes:Array(String)}, concat(gid, '/', nid))"]
        parameters |= {"nids": sorted({nid for _, nid in named}), "nodes": [f"{gid}/{nid}" for gid, nid in named]}
    direction = "DESC" if wanted.newest_first else "ASC"
    if after is not None:
        sign = "<" if wanted.newest_first else ">"
        where.append(f"{_MILLISECONDS} {sign}= {{e:Int64}}")
        where.append(f"({_MILLISECONDS}, gid, nid, id) {sign} ({{e:Int64}}, {{g:UInt32}}, {{n:UInt32}}, {{i:UInt32}})")
        parameters |= {"e": after.epoch, "g": after.gid, "n": after.nid, "i": after.id}
    order = ", ".join(f"{column} {direction}" for column in ("time", "gid", "nid", "id"))
    statement = store.parse(
        f"SELECT {_MILLISECONDS}, gid, nid, id, job_id, domain, name, level, marks, data"  # noqa: S608 - all our own
        f" FROM {quoted(MESSAGES_TABLE.name)} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT {int(limit)}"
    )
    body = store.query(statement, shape="JSONCompact", limits=_LIMITS, parameters=parameters)
    # some engines return 64-bit numbers as texts
    found = msgspec.json.decode(body, type=_Rows, strict=False).data
    return [NodeMessage(**msgspec.structs.asdict(row)) for row in found]


def _conditions(wanted: MessageFilter) -> tuple[list[str], dict[str, Any]]:
    where, parameters = ["1"], dict[str, Any]()
    for column, value in (("job_id", wanted.job_id), ("domain", wanted.domain), ("name", wanted.name)):
        if value is not None:
            where.append(f"{column} = {{{column}:String}}")
            parameters[column] = value
    for sign, bound, time_ms in ((">=", "from", wanted.time_from), ("<", "to", wanted.time_to)):
        if time_ms is not None:
            where.append(f"time {sign} fromUnixTimestamp64Milli({{{bound}:Int64}})")
            parameters[bound] = max(_FIRST_MS, min(time_ms, _LAST_MS))
    levels = Levels.parse(wanted.levels)
    if levels != Levels.parse("*"):
        where.append(f"level IN ({', '.join(map(str, sorted(levels.numbers))) or '0'})")
    if wanted.text:
        where.append("position(data, {text:String}) > 0")
        parameters["text"] = wanted.text
    return where, parameters
