"""Puts forwarded messages into the lists of Redis, one for each domain and name, of which the newest are kept.

Reads the table `messages` behind a cursor that lies in Redis and moves together with what is put there: after a kill or
a restart of either it goes on where it was. The store makes the JSON, so that nothing here sees a single row.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queue import COMMANDS, UNKNOWN
from quarterdeck.server.redis.connection import Connection, Said
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.readers import Limits

log = logging.getLogger(__name__)

#: how often it is looked for messages of which nobody told
LOOK_S = 30.0
#: inserts that are read at one time; of a longer backlog the newest
GROUPS = 1000
_LIMITS = Limits(rows=100_000, time_s=60, memory_bytes=500_000_000)
_FIELDS = (
    "Tuple(jobdomain String, jobname String, epoch Int64, level UInt8, id UInt32, data String,"
    " gid UInt32, nid UInt32, jobid String)"
)
_VALUES = "domain, name, intDiv(toUnixTimestamp64Nano(time), 1000000), level, id, data, gid, nid, job_id"


class _Lists(msgspec.Struct):
    data: list[tuple[str, list[str]]]


class Messages:
    """`arrived` is to listen to ingest. Each list holds the newest `kept`, and goes when it got none for `keep_s`."""

    def __init__(self, connection: Connection, store: TelemetryStore, *, server: str, kept: int, keep_s: float) -> None:
        self._redis = connection
        self._store = store
        self._cursor = f"{COMMANDS}.logged.{server}"
        self._kept = max(1, kept)
        self._keep_s = max(1, int(keep_s))
        self._news = asyncio.Event()
        self._statement: Statement | None = None

    def arrived(self, table: str, group: int) -> None:
        """Rows were stored: a listener of ingest."""
        del group
        if table == MESSAGES_TABLE.name:
            self._news.set()

    async def work(self) -> None:
        """Puts what there is, then waits until there may be more."""
        self._news.clear()
        found = await self._redis.say("GET", self._cursor)
        if found is None or not found.isdigit():  # from now on: what was before is in the table
            last = await asyncio.to_thread(self._store.last_group, MESSAGES_TABLE.name)
            await self._redis.say("SET", self._cursor, last)
        else:
            while groups := await asyncio.to_thread(self._store.groups_after, MESSAGES_TABLE.name, int(found)):
                await self._put(groups[-GROUPS:])
                found = groups[-1]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._news.wait()

    async def _put(self, groups: list[int]) -> None:
        said: list[Said] = []
        for name, lines in await asyncio.to_thread(self._read, groups[0], groups[-1]):
            said += [("RPUSH", name, *lines), ("LTRIM", name, -self._kept, -1), ("EXPIRE", name, self._keep_s)]
        said.append(("SET", self._cursor, groups[-1]))
        for answer in await self._redis.say_all(said):
            if isinstance(answer, Exception):
                log.warning("Redis did not take messages: %s", answer)

    def _read(self, first: int, last: int) -> list[tuple[str, list[str]]]:
        """Each list's name, and what is to be added to it: no more than it keeps."""
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
