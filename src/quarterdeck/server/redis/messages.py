"""Puts forwarded messages into the lists of Redis, one for each domain and name, of which the newest are kept.

It reads the table `messages` after a cursor that is stored in Redis and advances in the same transaction as the lists,
so that it resumes there after a kill or a restart of either. The telemetry store writes the JSON; this module never
handles a single row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from quarterdeck.kit.race import within
from quarterdeck.model.ingest import StoredInsert
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queue import COMMANDS, UNKNOWN
from quarterdeck.server.redis.connection import Connection, Said
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.readers import Limits

log = logging.getLogger(__name__)

#: interval of looking for messages of which this server was not notified
LOOK_S = 30.0
#: inserts that are read at a time; of a longer backlog the newest
GROUPS = 1000
_LIMITS = Limits(rows=100_000, time_s=60, memory_bytes=500_000_000, answer_bytes=50_000_000)
_FIELDS = (
    "Tuple(jobdomain String, jobname String, epoch Int64, level UInt8, id UInt32, data String,"
    " gid UInt32, nid UInt32, jobid String)"
)
_VALUES = "domain, name, intDiv(toUnixTimestamp64Nano(time), 1000000), level, id, data, gid, nid, job_id"


class _Lists(msgspec.Struct):
    data: list[tuple[str, list[str]]]


class Messages:
    """Fills the lists, which keep the newest `kept` messages and expire `keep_s` after their last one."""

    def __init__(self, connection: Connection, store: TelemetryStore, *, server: str, kept: int, keep_s: float) -> None:
        self._redis = connection
        self._store = store
        self._cursor = f"{COMMANDS}.logged.{server}"
        self._kept = max(1, kept)
        self._keep_s = max(1, int(keep_s))
        self._news = asyncio.Event()
        self._statement: Statement | None = None

    def arrived(self, inserts: Iterable[StoredInsert]) -> None:
        """Note that messages may have been stored."""
        if any(insert.table == MESSAGES_TABLE.name for insert in inserts):
            self._news.set()

    async def work(self) -> None:
        """Deliver new messages, then wait until there may be more."""
        self._news.clear()
        found = await self._redis.say("GET", self._cursor)
        if found is None or not found.isdigit():  # start now: earlier messages are in the table
            last = await asyncio.to_thread(self._store.last_group, MESSAGES_TABLE.name)
            await self._redis.say("SET", self._cursor, last)
        else:
            while groups := await asyncio.to_thread(self._store.groups_after, MESSAGES_TABLE.name, int(found)):
                await self._put(groups[-GROUPS:])
                found = groups[-1]
        await within(LOOK_S, self._news.wait())

    async def _put(self, groups: list[int]) -> None:
        said: list[Said] = []
        for name, lines in await asyncio.to_thread(self._read, groups[0], groups[-1]):
            said += [("RPUSH", name, *lines), ("LTRIM", name, -self._kept, -1), ("EXPIRE", name, self._keep_s)]
        said.append(("SET", self._cursor, groups[-1]))
        for answer in await self._redis.say_all(said):
            if isinstance(answer, Exception):
                log.warning("Redis did not accept messages: %s", answer)

    def _read(self, first: int, last: int) -> list[tuple[str, list[str]]]:
        """Return the name of each list, and the messages to add to it: at most as many as it keeps."""
        if self._statement is None:
            self._statement = self._store.parse(self._sql())
        body = self._store.query(
            self._statement, shape="JSONCompact", limits=_LIMITS, parameters={"first": first, "last": last}
        )
        return msgspec.json.decode(body, type=_Lists).data

    def _sql(self) -> str:
        place = "-toInt128(_insert), -toUnixTimestamp64Nano(time), -toInt64(id)"
        return (
            f"SELECT concat('log.', {_named('domain')}, '.', {_named('name')}) AS list,"  # noqa: S608
            " arrayReverse(arrayMap(line -> tupleElement(line, 4),"
            f" groupArraySorted({self._kept})(({place}, line))))"
            f" FROM (SELECT domain, name, time, id, _insert, toJSONString(CAST(tuple({_VALUES}), '{_FIELDS}')) AS line"
            f" FROM {MESSAGES_TABLE.name} WHERE _insert >= {{first:UInt64}} AND _insert <= {{last:UInt64}})"
            " GROUP BY list"
        )


def _named(column: str) -> str:
    return f"if({column} = '', '{UNKNOWN}', {column})"
